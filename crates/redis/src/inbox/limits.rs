//! How much may wait, as nodes say it and as those keep to it who put without being a node.
//!
//! It stands in Redis once for all projects, and is said again with every connection and now and then: so it is
//! there when somebody took it away. The node that began last has the word. So when one node after the other
//! is started again with new limits, these hold from the first one on.

use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::{RedisResult, cmd};
use switchboard_backplane::InboxLimits;

use super::scripts::Scripts;
use crate::connection::Link;
use crate::connection::script::{self, number};
use crate::names::Names;

/// The names of the bounds in Redis, in the order of [`values`].
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

/// What a node says.
pub(super) struct Said {
    key: String,
    limits: InboxLimits,
    /// When the node began, in ms of the clock of Redis; known when it has said it once.
    began_ms: OnceLock<i64>,
}

impl Said {
    pub(super) fn new(names: &Names, limits: InboxLimits) -> Self {
        Said { key: names.inboxes_limits(), limits, began_ms: OnceLock::new() }
    }

    /// Says it. What fails is said again later, and no reason to keep nothing.
    pub(super) async fn say(&self, link: &mut Link, scripts: &Scripts) {
        let began_ms = self.began_ms.get().map(i64::to_string).unwrap_or_default();
        let bounds = BOUNDS.into_iter().zip(values(self.limits));
        let bounds: Vec<_> =
            bounds.flat_map(|(bound, value)| [bound.to_owned(), value.to_string()]).collect();
        let args: Vec<&[u8]> =
            iter::once(&began_ms).chain(&bounds).map(|argument| argument.as_bytes()).collect();
        match script::run(link, &scripts.limits, std::slice::from_ref(&self.key), &args).await {
            Ok(began_ms) => {
                if let Some(began_ms) = number(&began_ms) {
                    self.began_ms.get_or_init(|| began_ms);
                }
            }
            Err(error) => tracing::warn!(%error, "backends cannot be told how much may wait"),
        }
    }
}

/// What nodes say, for who has no limits of its own.
pub(crate) struct Heeded {
    key: String,
    /// Whether it was last found to be nothing that a node says.
    is_garbage: AtomicBool,
}

impl Heeded {
    pub(crate) fn new(names: &Names) -> Self {
        Heeded { key: names.inboxes_limits(), is_garbage: AtomicBool::new(false) }
    }

    /// What nodes say now; none if no node has said it, or it cannot be read. Fails if the connection does.
    pub(crate) async fn read(&self, link: &mut Link) -> RedisResult<Option<InboxLimits>> {
        let said = match link.ask::<Vec<Option<String>>>(cmd("HMGET").arg(&self.key).arg(&BOUNDS)).await {
            Ok(said) if said.iter().all(Option::is_none) => return Ok(None),
            Ok(said) => parse(&said),
            Err(_) => {
                // If it answers now, it was what stands there.
                link.ping().await?;
                None
            }
        };
        let was_garbage = self.is_garbage.swap(said.is_none(), Ordering::Relaxed);
        if said.is_none() && !was_garbage {
            tracing::warn!(key = self.key, "how much may wait cannot be read; what was known of it holds");
        }
        Ok(said)
    }
}

fn parse(said: &[Option<String>]) -> Option<InboxLimits> {
    let values: Option<Vec<u64>> = said.iter().map(|value| value.as_ref()?.parse().ok()).collect();
    Some(limits_of(values?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: [&str; 5]) -> Vec<Option<String>> {
        values.map(|value| Some(value.to_owned())).into()
    }

    #[test]
    fn what_is_said_is_read_as_it_was_meant() {
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
    fn one_bound_that_cannot_be_read_spoils_all() {
        for garbage in ["", "many", "-1", "1.5", " 7", "18446744073709551616"] {
            assert_eq!(parse(&said(["1", "2", garbage, "4", "5"])), None, "{garbage:?}");
        }
        let mut lacking = said(["1", "2", "3", "4", "5"]);
        lacking[4] = None;
        assert_eq!(parse(&lacking), None);
        assert_eq!(parse(&said(["1", "2", "3", "4", "5"])[..4]), None);
    }
}
