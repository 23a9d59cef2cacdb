//! Bounds of the inbox, announced by nodes for processes that store messages and are not nodes.
//!
//! They are one hash for all projects. Each node writes it with every connection and from time to time, so it
//! returns when it is deleted. All nodes are meant to have the same bounds; while they differ, the last
//! announcement applies.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{RedisResult, cmd};
use switchboard_backplane::InboxLimits;
use switchboard_log::{limited, printable_error};

use super::scripts::InboxScripts;
use crate::connection::RedisConnection;
use crate::connection::script;
use crate::names::Names;

/// Field names of the bounds in Redis, in the order of [`values`].
const BOUNDS: [&str; 5] =
    ["messages_max", "bytes_max", "age_max_ms", "project_messages_max", "project_bytes_max"];

fn values(limits: InboxLimits) -> [u64; 5] {
    let InboxLimits { messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max } = limits;
    [messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max]
}

fn limits_of(values: [u64; 5]) -> InboxLimits {
    let [messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max] = values;
    InboxLimits { messages_max, bytes_max, age_max_ms, project_messages_max, project_bytes_max }
}

/// Announces the bounds of a node.
pub(super) struct LimitsAnnouncer {
    key: String,
    limits: InboxLimits,
}

impl LimitsAnnouncer {
    pub(super) fn new(names: &Names, limits: InboxLimits) -> Self {
        LimitsAnnouncer { key: names.inboxes_limits(), limits }
    }

    /// Writes the bounds. A failure is logged and repaired by the next announcement.
    pub(super) async fn announce(&self, connection: &mut RedisConnection, scripts: &InboxScripts) {
        let bounds = BOUNDS.into_iter().zip(values(self.limits));
        let bounds: Vec<_> =
            bounds.flat_map(|(bound, value)| [bound.to_owned(), value.to_string()]).collect();
        let args: Vec<&[u8]> = bounds.iter().map(|arg| arg.as_bytes()).collect();
        let call = scripts.limits.call(std::slice::from_ref(&self.key), &args);
        if let Err(error) = script::run(connection, &scripts.limits, &call).await {
            limited!(WARN, error = printable_error(&error), "could not announce inbox limits to dispatchers");
        }
    }
}

/// The bounds that nodes announce.
pub(crate) struct AnnouncedLimits {
    key: String,
    /// Whether the last read found no valid bounds.
    was_invalid: AtomicBool,
}

impl AnnouncedLimits {
    pub(crate) fn new(names: &Names) -> Self {
        AnnouncedLimits { key: names.inboxes_limits(), was_invalid: AtomicBool::new(false) }
    }

    /// Reads the announced bounds. `None` if no node has announced any, or they are invalid. Fails if the
    /// connection does.
    pub(crate) async fn read(&self, connection: &mut RedisConnection) -> RedisResult<Option<InboxLimits>> {
        let mut command = cmd("HMGET");
        command.arg(&self.key).arg(&BOUNDS);
        let limits = match connection.query::<Vec<Option<String>>>(&command).await {
            Ok(values) if values.iter().all(Option::is_none) => return Ok(None),
            Ok(values) => parse(&values),
            Err(_) => {
                // If the connection answers, the key has the wrong type.
                connection.ping().await?;
                None
            }
        };
        let was_invalid = self.was_invalid.swap(limits.is_none(), Ordering::Relaxed);
        if limits.is_none() && !was_invalid {
            limited!(WARN, key = self.key, "announced inbox limits are invalid; the previous limits apply");
        }
        Ok(limits)
    }
}

fn parse(values: &[Option<String>]) -> Option<InboxLimits> {
    let values: Option<Vec<u64>> = values.iter().map(|value| value.as_ref()?.parse().ok()).collect();
    Some(limits_of(values?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(values: [&str; 5]) -> Vec<Option<String>> {
        values.map(|value| Some(value.to_owned())).into()
    }

    #[test]
    fn announced_limits_are_read_as_written() {
        let limits = InboxLimits {
            messages_max: 1,
            bytes_max: 2,
            age_max_ms: 3,
            project_messages_max: 0,
            project_bytes_max: u64::MAX,
        };
        let written = values(limits).map(|value| value.to_string());
        assert_eq!(written, ["1", "2", "3", "0", "18446744073709551615"]);
        assert_eq!(parse(&written.map(Some)), Some(limits));
    }

    #[test]
    fn one_invalid_bound_invalidates_all() {
        for garbage in ["", "many", "-1", "1.5", " 7", "18446744073709551616"] {
            assert_eq!(parse(&announced(["1", "2", garbage, "4", "5"])), None, "{garbage:?}");
        }
        let mut lacking = announced(["1", "2", "3", "4", "5"]);
        lacking[4] = None;
        assert_eq!(parse(&lacking), None);
        assert_eq!(parse(&announced(["1", "2", "3", "4", "5"])[..4]), None);
    }
}
