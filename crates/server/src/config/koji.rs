//! Settings of the Koji protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// Longest interval between two member lists, in milliseconds.
const MEMBER_LIST_INTERVAL_MS_MAX: u64 = 100;
/// Lowest rate of member lists, in bytes per second.
const MEMBER_LIST_BYTES_PER_S_MIN: usize = 1024;
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
    /// together. At most 100; 0 sends each change at once. Default 100.
    pub member_list_interval_ms: u64,
    /// Bytes of its shard's member list that one client is sent per second on average, at least 1,024. After a
    /// longer list, changes are gathered for as long as its bytes need at this rate. Default 262,144.
    pub member_list_bytes_per_s: usize,
    /// Bytes of all versions of a shard's member list that its clients are still being sent; beyond it the
    /// clients with the oldest versions are closed with 1013. Default 8,388,608.
    pub member_list_held_bytes_max: usize,
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
            member_list_bytes_per_s: 256 * 1024,
            member_list_held_bytes_max: 8 * 1024 * 1024,
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
        if self.member_list_bytes_per_s < MEMBER_LIST_BYTES_PER_S_MIN {
            let problem = format!("expected at least {MEMBER_LIST_BYTES_PER_S_MIN}");
            return Err(InvalidSetting::new("koji.member_list_bytes_per_s", problem));
        }
        if self.member_list_held_bytes_max == 0 {
            return Err(InvalidSetting::new("koji.member_list_held_bytes_max", "expected at least 1"));
        }
        if (1..PING_INTERVAL_MS_MIN).contains(&self.ping_interval_ms) {
            let problem = format!("expected 0 or at least {PING_INTERVAL_MS_MIN}");
            return Err(
                InvalidSetting::new("koji.ping_interval_ms", problem).with_hint("0 switches pings off")
            );
        }
        Ok(())
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let keys = &["koji", "projects.any", "projects.every", "projects.named"];
        (!self.enabled).then(|| {
            NoEffect::of(keys, "koji.enabled is `false`").except(&["koji.enabled"]).except_sections("can")
        })
    }

    /// The protocol with these settings, but without the rules of projects.
    pub(crate) fn protocol(&self) -> switchboard::Koji {
        switchboard::Koji::new()
            .with_undefined_project(self.undefined_project)
            .with_member_list_interval(Duration::from_millis(self.member_list_interval_ms))
            .with_member_list_bytes_per_s(self.member_list_bytes_per_s)
            .with_member_list_held_bytes_max(self.member_list_held_bytes_max)
            .with_ping_interval(Duration::from_millis(self.ping_interval_ms))
    }
}
