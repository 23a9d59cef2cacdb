//! Settings of the inbox: where messages for offline users are stored, and the bounds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchboard::backplane::InboxLimits;

use super::error::InvalidSetting;
use super::file::check_folder;
use super::no_effect::NoEffect;

/// Settings of the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inbox {
    /// Stores messages for users of every protocol: in Redis if `redis.url` is set, otherwise in
    /// `inbox.path`. The original's switch, `mesa.sync.enabled = true`, implies it; false is then an
    /// error. Default: the value of `mesa.sync.enabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// File for stored messages on a node without Redis. One process at a time can open it. Default
    /// `switchboard-inbox.redb`.
    pub path: PathBuf,
    /// Messages per user; at the bound the oldest is removed. Default 1,000.
    pub messages_max: u64,
    /// Bytes per user; at the bound the oldest messages are removed. A larger message is not stored.
    /// Default 1,048,576.
    pub bytes_max: u64,
    /// Longest time in hours that a message is stored; an older one is removed. Default 720.
    pub age_max_hours: u64,
    /// Messages of all users of a project; at the bound a new message is not stored, and the number of
    /// inboxes that its sender gets is lower. Default 1,000,000.
    pub project_messages_max: u64,
    /// Bytes of all users of a project; at the bound a new message is not stored, and the number of
    /// inboxes that its sender gets is lower. Default 1,073,741,824.
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
    /// Takes the value of `mesa.sync.enabled` if `inbox.enabled` is not set.
    pub(super) fn imply(&mut self, mesa_sync: bool) {
        self.enabled.get_or_insert(mesa_sync);
    }

    pub(super) fn check(&self, mesa_sync: bool) -> Result<(), InvalidSetting> {
        if mesa_sync && self.enabled == Some(false) {
            let invalid =
                InvalidSetting::new("inbox.enabled", "mesa.sync.enabled is `true`, which implies `true`");
            return Err(
                invalid.with_hint("leave out inbox.enabled, or set mesa.sync.enabled to false as well")
            );
        }
        for (key, value) in [
            ("messages_max", self.messages_max),
            ("bytes_max", self.bytes_max),
            ("age_max_hours", self.age_max_hours),
            ("project_messages_max", self.project_messages_max),
            ("project_bytes_max", self.project_bytes_max),
        ] {
            if value == 0 {
                let invalid = InvalidSetting::new(format!("inbox.{key}"), "expected at least 1");
                return Err(invalid.with_hint("inbox.enabled=false switches the inbox off"));
            }
        }
        Ok(())
    }

    /// Checks that the inbox file can exist.
    pub(super) fn check_folder(&self) -> Result<(), InvalidSetting> {
        if self.is_on() { check_folder("inbox.path", &self.path) } else { Ok(()) }
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self, redis_is_on: bool) -> Option<NoEffect> {
        if !self.is_on() {
            let off = NoEffect::of(&["inbox"], "inbox.enabled is `false`").except(&["inbox.enabled"]);
            return Some(off.with_switches(&["inbox.enabled"]));
        }
        redis_is_on
            .then(|| NoEffect::of(&["inbox.path"], "messages are stored in Redis, which redis.url names"))
    }

    /// Returns true if messages are stored.
    pub(crate) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }

    /// The bounds, as options of the store.
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
    use super::super::{Config, with};

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
            assert!(
                error.contains("inbox.enabled is `false` (--set inbox.enabled); mesa.sync.enabled is `true`"),
                "{error}"
            );
            assert!(error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn an_inbox_beside_mesa_needs_the_connected_users_stored() {
        let off = "mesa.authentication.store_connected_users=false";
        assert!(with(&["inbox.enabled=true", off]).is_ok(), "there are no Mesa clients");
        let error = with(&["inbox.enabled=true", "mesa.enabled=true", off]).unwrap_err().to_string();
        let (key, _) = off.split_once('=').unwrap();
        assert!(
            error.starts_with(&format!("{key} is `false`")) && error.contains("inbox.enabled"),
            "{error}"
        );
    }

    #[test]
    fn a_bound_of_zero_is_refused_with_a_hint() {
        for key in ["messages_max", "bytes_max", "age_max_hours", "project_messages_max", "project_bytes_max"]
        {
            let error = Config::load(None, &[format!("inbox.{key}=0")]).unwrap_err().to_string();
            let expected = format!("inbox.{key} is `0` (--set inbox.{key}); expected at least 1");
            assert!(error.starts_with(&expected), "{error}");
        }
        let config = Config::load(None, &["inbox.age_max_hours=1".to_owned()]).unwrap();
        assert_eq!(config.inbox.limits().age_max_ms, 3_600_000);
    }
}
