//! Settings of traces: the recorded path of single messages.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::trace::Tracing;

use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// The longest time for which a traced message is remembered: a day.
const SECONDS_MAX: u64 = 86_400;

/// Settings of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// One message in so many is traced without a request; 0 traces none. Messages whose senders ask for it are traced in any
    /// case. Default 0.
    pub one_in: u32,
    /// Traced messages that the node remembers, with at most 1,000 steps each. At the bound the oldest is forgotten; 0
    /// switches traces off. Default 1,000.
    pub messages_max: usize,
    /// Bytes of their steps, approximately. At the bound the oldest messages are forgotten; 0 switches traces off.
    /// Default 4,194,304.
    pub bytes_max: usize,
    /// Time in seconds for which a traced message is remembered, at most 86,400; 0 switches traces off. Default 600.
    pub seconds: u64,
}

impl Default for Traces {
    fn default() -> Self {
        let Tracing { messages_max, bytes_max, keep, one_in, .. } = Tracing::default();
        Traces { one_in, messages_max, bytes_max, seconds: keep.as_secs() }
    }
}

impl Traces {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.seconds > SECONDS_MAX {
            let problem = format!("expected at most {SECONDS_MAX}");
            return Err(InvalidSetting::new("traces.seconds", problem));
        }
        Ok(())
    }

    /// The settings that have no effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let off = |reason| NoEffect::of(&["traces"], reason);
        match self {
            Traces { messages_max: 0, .. } => {
                Some(off("traces.messages_max is `0`").except(&["traces.messages_max"]))
            }
            Traces { bytes_max: 0, .. } => Some(off("traces.bytes_max is `0`").except(&["traces.bytes_max"])),
            Traces { seconds: 0, .. } => Some(off("traces.seconds is `0`").except(&["traces.seconds"])),
            _ => None,
        }
    }

    /// The framework's options with these settings.
    pub(crate) fn options(&self) -> Tracing {
        Tracing::default()
            .with_one_in(self.one_in)
            .with_messages_max(self.messages_max)
            .with_bytes_max(self.bytes_max)
            .with_keep(Duration::from_secs(self.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;

    #[test]
    fn a_trace_is_kept_for_at_most_a_day() {
        assert_eq!(with(&["traces.seconds=86400"]).unwrap().traces.options().keep.as_secs(), 86_400);
        let error = with(&["traces.seconds=86401"]).unwrap_err().to_string();
        assert!(error.starts_with("traces.seconds is `86401`") && error.contains("at most 86400"), "{error}");
        assert!(with(&["traces.one_in=-1"]).is_err());
    }
}
