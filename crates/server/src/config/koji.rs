//! Settings of the door for Koji clients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, ProtocolReports};

/// Settings of the door for Koji clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Koji {
    /// Whether the door is open. Default true.
    pub enabled: bool,
    /// Whether a client that names no project is of the project `undefined`. Default true; else it
    /// is refused with 400.
    pub undefined_project: bool,
    /// How long changes of who is on a shard are gathered. Default and most 100 ms.
    pub member_list_interval_ms: u64,
    /// How often a client is pinged; one that two pings bring no sign of is cut. Default 25,000 ms;
    /// 0 means never.
    pub ping_interval_ms: u64,
    /// Whether it is reported to workers that clients of `projects.named` come, show who they are and go.
    pub reports: ProtocolReports,
}

impl Default for Koji {
    fn default() -> Self {
        Koji {
            enabled: true,
            undefined_project: true,
            member_list_interval_ms: 100,
            ping_interval_ms: 25_000,
            reports: ProtocolReports::default(),
        }
    }
}

impl Koji {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.member_list_interval_ms > 100 {
            let ms = self.member_list_interval_ms;
            return Err(ConfigError::Value(format!("koji.member_list_interval_ms is {ms}; the most is 100")));
        }
        if (1..1000).contains(&self.ping_interval_ms) {
            let ms = self.ping_interval_ms;
            return Err(ConfigError::Value(format!(
                "koji.ping_interval_ms is {ms}; the least is 1000\n\nhint: 0 switches pings off"
            )));
        }
        Ok(())
    }

    /// The door as these settings want it, for projects that are dealt with elsewhere.
    pub(crate) fn door(&self) -> switchboard::Koji {
        switchboard::Koji::new()
            .with_undefined_project(self.undefined_project)
            .with_member_list_interval(Duration::from_millis(self.member_list_interval_ms))
            .with_ping_interval(Duration::from_millis(self.ping_interval_ms))
    }
}
