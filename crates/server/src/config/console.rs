//! Settings of the console.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// The longest session: one week.
const SESSION_MINUTES_MAX: u64 = 7 * 24 * 60;

/// Settings of the console, the pages for operators. They are at `/console/` of `api.listen`, and of `internal.listen` if that
/// is set and `api.client_ca_file` is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Serves the console, if the API is on. Every visitor needs a key of the API with the scope `read` or `manage`.
    /// Default true.
    pub enabled: bool,
    /// Time in minutes after which a visitor has to sign in again, from 1 to 10,080. Default 480.
    pub session_minutes: u64,
}

impl Default for Console {
    fn default() -> Self {
        Console { enabled: true, session_minutes: 480 }
    }
}

impl Console {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        match self.session_minutes {
            1..=SESSION_MINUTES_MAX => Ok(()),
            _ => Err(InvalidSetting::new("console.session_minutes", "expected 1 to 10080")),
        }
    }

    /// The settings that have no effect.
    pub(super) fn no_effect(&self, has_api: bool) -> Option<NoEffect> {
        let reason = match (has_api, self.enabled) {
            (false, _) => "api.keys and api.named_keys are not set, so the console is off",
            (true, false) => "console.enabled is `false`",
            (true, true) => return None,
        };
        Some(NoEffect::of(&["console"], reason).except(&["console.enabled"]))
    }

    /// How long a session lasts.
    pub(crate) fn session(&self) -> Duration {
        Duration::from_secs(60 * self.session_minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_session_lasts_from_one_minute_to_one_week() {
        let with = |minutes: &str| Config::load(None, &[format!("console.session_minutes={minutes}")]);
        assert_eq!(with("1").unwrap().console.session().as_secs(), 60);
        assert!(with("10080").is_ok());
        for minutes in ["0", "10081"] {
            let error = with(minutes).unwrap_err().to_string();
            assert!(error.starts_with(&format!("console.session_minutes is `{minutes}`")), "{error}");
        }
    }
}
