//! Settings of overflow: what becomes of messages of a room at receivers that are too slow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchboard::backplane::RoomRule;
use switchboard::{App, LatestKey, OverflowPolicy};

use super::error::InvalidSetting;

/// Settings of overflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overflow {
    /// What becomes of messages to a room at a member whose outbox is full, by the name of the room or by a prefix that ends
    /// in `*`; of several that match a room, the most specific counts. Each has a `policy`: `live` closes the member with
    /// 1013, `volatile` drops the message, `oldest` drops the oldest queued ones, and `latest` replaces a queued one of the same
    /// sender and event name. A room with a policy other than `live` keeps no history.
    /// Default: `live` for every room.
    pub rooms: BTreeMap<String, RoomOverflow>,
}

/// What becomes of messages to a room.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomOverflow {
    /// The overflow policy.
    pub policy: RoomPolicy,
}

/// The overflow policy of a room.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "`Overflow::rooms` describes them")]
pub enum RoomPolicy {
    Live,
    Volatile,
    Latest,
    Oldest,
}

impl From<RoomPolicy> for OverflowPolicy {
    fn from(policy: RoomPolicy) -> Self {
        match policy {
            RoomPolicy::Live => OverflowPolicy::Live,
            RoomPolicy::Volatile => OverflowPolicy::Volatile,
            RoomPolicy::Latest => OverflowPolicy::Latest(LatestKey::Event),
            RoomPolicy::Oldest => OverflowPolicy::Oldest,
        }
    }
}

impl Overflow {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        for pattern in self.rooms.keys() {
            if let Err(error) = RoomRule::new(pattern, ()) {
                return Err(InvalidSetting::new(format!("overflow.rooms.{pattern}"), error.to_string()));
            }
        }
        Ok(())
    }

    /// Adds the rules to an app.
    pub(crate) fn add_to(&self, app: App) -> App {
        let rules = self.rooms.iter();
        rules.fold(app, |app, (pattern, room)| app.with_overflow_policy(pattern, room.policy.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;
    use super::{Overflow, RoomOverflow, RoomPolicy};

    #[test]
    fn a_wrong_overflow_policy_is_reported_with_its_key() {
        let error = |set: &str| with(&[set]).unwrap_err().to_string();
        for (set, expected) in [
            ("overflow.rooms.chat.policy=newest", "newest"),
            ("overflow.rooms.chat.policy=7", "overflow.rooms.chat"),
            ("overflow.rooms.chat.colour=1", "colour"),
            ("overflow.room.chat.policy=live", "overflow.room"),
        ] {
            assert!(error(set).contains(expected), "{set}: {}", error(set));
        }
        let config = with(&["overflow.rooms.cursors.policy=latest"]).unwrap();
        assert_eq!(config.overflow.rooms["cursors"].policy, RoomPolicy::Latest);
        let room = RoomOverflow { policy: RoomPolicy::Oldest };
        let overflow = Overflow { rooms: [("a*b".to_owned(), room)].into() };
        assert!(overflow.check().unwrap_err().to_string().contains("overflow.rooms.a*b"));
    }
}
