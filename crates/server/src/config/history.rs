//! Settings of the history of rooms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchboard::backplane::{HistoryRule, MemoryHistoryLimits};
use switchboard::{App, HistoryLimits};

use super::error::InvalidSetting;
use super::no_effect::NoEffect;

/// Settings of history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Rooms that keep their recent messages, by name or by a prefix that ends in `*`; of several that match a room, the
    /// most specific counts. A Koji shard is a room of its name. Each has a `messages_max` (200), an `age_max_s` (300) and
    /// a `bytes_max` (262,144), at which its oldest messages are removed.
    /// Default: no room.
    pub rooms: BTreeMap<String, RoomHistory>,
    /// File for the messages of rooms on a node without Redis, which then outlive a restart. One process at a time can open it.
    /// Default: none, the messages are in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Rooms with a history on a node without Redis. At the bound the history of the room that was not used for the longest
    /// time is removed. Default 100,000.
    pub rooms_max: usize,
    /// Bytes of all histories on a node without Redis. At the bound the history of the room that was not used for the
    /// longest time is removed. Default 268,435,456.
    pub bytes_max: usize,
}

/// The bounds of a room's history; at a bound the oldest messages are removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomHistory {
    /// Messages. Default 200.
    pub messages_max: u64,
    /// Longest time that a message is kept, in seconds. Default 300.
    pub age_max_s: u64,
    /// Bytes of names and data; a message that is larger alone is not kept. Default 262,144.
    pub bytes_max: u64,
}

impl Default for History {
    fn default() -> Self {
        let MemoryHistoryLimits { rooms_max, bytes_max } = MemoryHistoryLimits::default();
        History { rooms: BTreeMap::new(), file: None, rooms_max, bytes_max }
    }
}

impl Default for RoomHistory {
    fn default() -> Self {
        let HistoryLimits { messages_max, age_max_ms, bytes_max } = HistoryLimits::default();
        RoomHistory { messages_max, age_max_s: age_max_ms / 1000, bytes_max }
    }
}

impl RoomHistory {
    fn limits(&self) -> HistoryLimits {
        HistoryLimits {
            messages_max: self.messages_max,
            age_max_ms: self.age_max_s.saturating_mul(1000),
            bytes_max: self.bytes_max,
        }
    }
}

impl History {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        for (pattern, room) in &self.rooms {
            let key = format!("history.rooms.{pattern}");
            if let Err(error) = HistoryRule::new(pattern, room.limits()) {
                return Err(InvalidSetting::new(key, error.to_string()));
            }
            for (name, value) in [
                ("messages_max", room.messages_max),
                ("age_max_s", room.age_max_s),
                ("bytes_max", room.bytes_max),
            ] {
                if value == 0 {
                    let invalid = InvalidSetting::new(format!("{key}.{name}"), "expected at least 1");
                    return Err(invalid.with_hint("a room without an entry in history.rooms keeps nothing"));
                }
            }
        }
        for (name, value) in [("rooms_max", self.rooms_max), ("bytes_max", self.bytes_max)] {
            if value == 0 {
                return Err(InvalidSetting::new(format!("history.{name}"), "expected at least 1"));
            }
        }
        Ok(())
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self, redis_is_on: bool) -> Option<NoEffect> {
        let bounds = &["history.file", "history.rooms_max", "history.bytes_max"];
        if !self.is_on() {
            return Some(NoEffect::of(bounds, "no room in history.rooms keeps messages"));
        }
        redis_is_on.then(|| NoEffect::of(bounds, "messages are kept in Redis, which redis.url names"))
    }

    /// Returns true if a room keeps messages.
    pub(crate) fn is_on(&self) -> bool {
        !self.rooms.is_empty()
    }

    /// The bounds on all rooms of a node without Redis.
    pub(crate) fn memory_limits(&self) -> MemoryHistoryLimits {
        MemoryHistoryLimits { rooms_max: self.rooms_max, bytes_max: self.bytes_max }
    }

    /// Adds the rooms and bounds to an app.
    pub(crate) fn add_to(&self, app: App) -> App {
        let app = app.with_memory_history_limits(self.memory_limits());
        self.rooms.iter().fold(app, |app, (pattern, room)| app.with_room_history(pattern, room.limits()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;

    #[test]
    fn a_wrong_history_is_reported_with_its_key() {
        let error = |set: &str| with(&[set]).unwrap_err().to_string();
        for (set, expected) in [
            ("history.rooms.\"a*b\".messages_max=1", "a*b"),
            ("history.rooms.chat.messages_max=0", "history.rooms.chat.messages_max"),
            ("history.rooms.chat.age_max_s=0", "history.rooms.chat.age_max_s"),
            ("history.rooms.chat.colour=1", "colour"),
            ("history.bytes_max=0", "history.bytes_max"),
        ] {
            assert!(error(set).contains(expected), "{set}: {}", error(set));
        }
        let config = with(&["history.rooms.chat.messages_max=7"]).unwrap();
        assert_eq!(config.history.rooms["chat"].messages_max, 7);
        assert_eq!(config.history.rooms["chat"].age_max_s, 300);
    }
}
