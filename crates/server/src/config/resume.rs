//! Settings of sessions that outlive their connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::Resuming;

use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// The longest time for which a session is kept.
const SECONDS_MAX: u64 = 600;

/// Settings of sessions that outlive their connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resume {
    /// Time in seconds for which a session is kept after its connection has broken: its client can take it over with its
    /// rooms, tags and user. At most 600; 0 keeps none. Only for clients that understand it, such as the SDK.
    /// Default 60.
    pub seconds: u64,
    /// Kept sessions of the node. At the bound a session ends with its connection; 0 keeps none. Default 10,000.
    pub detached_max: usize,
    /// Bytes of replies that are kept for all of them; at most 65,536 for each. At the bound a reply is dropped; 0 keeps
    /// none. Default 16,777,216.
    pub reply_bytes_max: usize,
}

impl Default for Resume {
    fn default() -> Self {
        let Resuming { keep, sessions_max, reply_bytes_max, .. } = Resuming::default();
        Resume { seconds: keep.as_secs(), detached_max: sessions_max, reply_bytes_max }
    }
}

impl Resume {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.seconds > SECONDS_MAX {
            let problem = format!("expected at most {SECONDS_MAX}");
            return Err(InvalidSetting::new("resume.seconds", problem));
        }
        Ok(())
    }

    /// The settings that have no effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        (self.seconds == 0)
            .then(|| NoEffect::of(&["resume"], "resume.seconds is `0`").except(&["resume.seconds"]))
    }

    /// The framework's options with these settings.
    pub(crate) fn options(&self) -> Resuming {
        Resuming::default()
            .with_keep(Duration::from_secs(self.seconds))
            .with_sessions_max(self.detached_max)
            .with_reply_bytes_max(self.reply_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn with(set: &str) -> Result<Resume, ConfigError> {
        Config::load(None, &[set.to_owned()]).map(|config| config.resume)
    }

    #[test]
    fn a_session_is_kept_for_at_most_ten_minutes() {
        assert_eq!(with("resume.seconds=600").unwrap().options().keep, Duration::from_secs(600));
        let error = with("resume.seconds=601").unwrap_err().to_string();
        assert!(error.starts_with("resume.seconds is `601`") && error.contains("at most 600"), "{error}");
        assert!(with("resume.seconds=-1").is_err());
    }
}
