//! Settings of the Koji protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::InvalidSetting;

/// Longest interval between two member lists, in milliseconds.
const MEMBER_LIST_INTERVAL_MS_MAX: u64 = 100;
/// Shortest interval between two pings, in milliseconds.
const PING_INTERVAL_MS_MIN: u64 = 1000;

/// Settings of the Koji protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Koji {
    /// Accepts Koji clients, at `/koji` and at `/` with a `projectId`. If false, these addresses belong
    /// to the emit protocol. Default true.
    pub enabled: bool,
    /// Assigns a client that names no project to the project `undefined`. If false, it is refused with
    /// 400. Default true.
    pub undefined_project: bool,
    /// Shortest time in milliseconds between two member lists of a shard; changes in between are sent
    /// together. At most 100. Default 100.
    pub member_list_interval_ms: u64,
    /// Interval of pings in milliseconds, at least 1,000; 0 switches them off. A client that sends
    /// nothing in answer to two pings in a row is disconnected, by default 50 to 75 s after its last
    /// frame. Default 25,000.
    pub ping_interval_ms: u64,
    /// Reports of Koji clients to workers.
    pub reports: KojiReports,
}

/// Reports of Koji clients to workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KojiReports {
    /// Reports actions of the Koji clients of `projects.named` to workers: connected, authenticated and
    /// disconnected. Messages are not reported. Needs `redis.url`. Default false.
    pub enabled: bool,
}

impl Default for Koji {
    fn default() -> Self {
        Koji {
            enabled: true,
            undefined_project: true,
            member_list_interval_ms: MEMBER_LIST_INTERVAL_MS_MAX,
            ping_interval_ms: 25_000,
            reports: KojiReports::default(),
        }
    }
}

impl Koji {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.member_list_interval_ms > MEMBER_LIST_INTERVAL_MS_MAX {
            let problem = format!("expected at most {MEMBER_LIST_INTERVAL_MS_MAX}");
            return Err(InvalidSetting::new("koji.member_list_interval_ms", problem));
        }
        if (1..PING_INTERVAL_MS_MIN).contains(&self.ping_interval_ms) {
            let problem = format!("expected 0 or at least {PING_INTERVAL_MS_MIN}");
            return Err(
                InvalidSetting::new("koji.ping_interval_ms", problem).with_hint("0 switches pings off")
            );
        }
        Ok(())
    }

    /// The protocol with these settings, but without the rules of projects.
    pub(crate) fn protocol(&self) -> switchboard::Koji {
        switchboard::Koji::new()
            .with_undefined_project(self.undefined_project)
            .with_member_list_interval(Duration::from_millis(self.member_list_interval_ms))
            .with_ping_interval(Duration::from_millis(self.ping_interval_ms))
    }
}
