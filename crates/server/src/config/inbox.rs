//! Settings of where messages wait for users, and of how much may.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchboard::InboxLimits;

use super::{ConfigError, Mesa};

/// Settings of the inbox: stored messages for users, redelivered at their next login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inbox {
    /// Whether messages are stored for users, on every protocol. Default: the value of
    /// `mesa.sync.enabled`, the original's switch; if that is true, this cannot be false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
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
            enabled: None,
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
    /// Takes `mesa.sync.enabled` where `inbox.enabled` is not set.
    pub(super) fn imply(&mut self, mesa: &Mesa) {
        self.enabled.get_or_insert(mesa.sync.enabled);
    }

    pub(super) fn check(&self, mesa: &Mesa) -> Result<(), ConfigError> {
        if mesa.sync.enabled && self.enabled == Some(false) {
            return Err(ConfigError::Value(
                "inbox.enabled is false and mesa.sync.enabled is true, which implies it\n\n\
                 hint: leave inbox.enabled out, or set both to the same value"
                    .into(),
            ));
        }
        for (key, value) in [
            ("messages_max", self.messages_max),
            ("bytes_max", self.bytes_max),
            ("age_max_hours", self.age_max_hours),
            ("project_messages_max", self.project_messages_max),
            ("project_bytes_max", self.project_bytes_max),
        ] {
            if value == 0 {
                let hint = "hint: inbox.enabled=false stores no messages";
                return Err(ConfigError::Value(format!("inbox.{key} is 0; the least is 1\n\n{hint}")));
            }
        }
        Ok(())
    }

    /// Whether messages are stored.
    pub(crate) fn is_on(&self) -> bool {
        self.enabled == Some(true)
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
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    #[test]
    fn the_inbox_has_its_own_switch_and_the_originals_switch_implies_it() {
        for (sets, is_on) in [
            (&[][..], false),
            (&["inbox.enabled=true"], true),
            (&["inbox.enabled=false"], false),
            (&["mesa.sync.enabled=true"], true),
            (&["inbox.enabled=true", "mesa.sync.enabled=true"], true),
            (&["inbox.enabled=true", "mesa.sync.enabled=false"], true),
        ] {
            let config = with(sets).unwrap();
            assert_eq!(config.inbox.is_on(), is_on, "{sets:?}");
            let redis = with(&[sets, &["redis=redis://h"]].concat()).unwrap().redis().unwrap().unwrap();
            assert_eq!(redis.inbox.is_some(), is_on, "{sets:?}");
            let shown = config.to_toml();
            assert!(shown.contains(&format!("[inbox]\nenabled = {is_on}")), "{shown}");
            let is_implied = sets.contains(&"mesa.sync.enabled=true");
            assert_eq!(shown.contains("# implied by mesa.sync.enabled"), is_implied, "{shown}");
            assert_eq!(toml::from_str::<Config>(&shown).unwrap(), config);
        }
    }

    #[test]
    fn an_inbox_that_is_off_contradicts_the_originals_switch() {
        for sets in [
            ["inbox.enabled=false", "mesa.sync.enabled=true"],
            ["mesa.sync.enabled=true", "inbox.enabled=false"],
        ] {
            let error = with(&sets).unwrap_err().to_string();
            assert!(error.contains("inbox.enabled is false and mesa.sync.enabled is true"), "{error}");
            assert!(error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn an_inbox_beside_mesa_needs_the_connected_users_stored() {
        let off = "mesa.authentication.store_connected_users=false";
        assert!(with(&["inbox.enabled=true", off]).is_ok(), "there are no Mesa clients");
        let error = with(&["inbox.enabled=true", "mesa.enabled=true", off]).unwrap_err().to_string();
        assert!(
            error.contains("inbox.enabled is on") && error.contains(off.split_once('=').unwrap().0),
            "{error}"
        );
    }

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
