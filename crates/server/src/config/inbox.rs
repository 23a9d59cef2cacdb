//! Settings of where messages wait for users, and of how much may.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchboard::InboxLimits;

use super::ConfigError;

/// Settings of messages that wait. They do if `mesa.sync.enabled` says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inbox {
    /// The file in which they wait without Redis. Default `switchboard-inbox.redb`.
    pub path: PathBuf,
    /// Most messages for one user. Default 1,000.
    pub messages_max: u64,
    /// Most bytes for one user. Default 1 MiB.
    pub bytes_max: u64,
    /// How long a message waits at the most. Default 720 hours.
    pub age_max_hours: u64,
    /// Most messages for all users of a project. Default 1,000,000.
    pub project_messages_max: u64,
    /// Most bytes for all users of a project. Default 1 GiB.
    pub project_bytes_max: u64,
}

const HOUR_MS: u64 = 60 * 60 * 1000;

impl Default for Inbox {
    fn default() -> Self {
        let limits = InboxLimits::default();
        Inbox {
            path: "switchboard-inbox.redb".into(),
            messages_max: limits.messages_max,
            bytes_max: limits.bytes_max,
            age_max_hours: limits.age_max_ms / HOUR_MS,
            project_messages_max: limits.project_messages_max,
            project_bytes_max: limits.project_bytes_max,
        }
    }
}

impl Inbox {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("messages_max", self.messages_max),
            ("bytes_max", self.bytes_max),
            ("age_max_hours", self.age_max_hours),
            ("project_messages_max", self.project_messages_max),
            ("project_bytes_max", self.project_bytes_max),
        ] {
            if value == 0 {
                let hint = "hint: mesa.sync.enabled=false has no message wait";
                return Err(ConfigError::Value(format!("inbox.{key} is 0; the least is 1\n\n{hint}")));
            }
        }
        Ok(())
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> InboxLimits {
        InboxLimits {
            messages_max: self.messages_max,
            bytes_max: self.bytes_max,
            age_max_ms: self.age_max_hours.saturating_mul(HOUR_MS),
            project_messages_max: self.project_messages_max,
            project_bytes_max: self.project_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_bound_of_nothing_is_refused_with_a_hint() {
        for key in ["messages_max", "bytes_max", "age_max_hours", "project_messages_max", "project_bytes_max"]
        {
            let error = Config::load(None, &[format!("inbox.{key}=0")]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("inbox.{key} is 0; the least is 1")), "{error}");
        }
        let config = Config::load(None, &["inbox.age_max_hours=1".to_owned()]).unwrap();
        assert_eq!(config.inbox.limits().age_max_ms, 3_600_000);
    }
}
