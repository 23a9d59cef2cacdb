//! Which messages the history of a room keeps.
//!
//! A history keeps a live message to all members of one room, whatever sockets are excluded. A message to several
//! targets has no position: it belongs to no single room.

use std::sync::Arc;

use switchboard_backplane::{History, HistoryLimits, HistoryRules};
use switchboard_event::{Audience, OverflowPolicy, RoomName, Target};

/// The history of the rooms of a hub.
#[derive(Clone)]
pub struct RoomHistory {
    /// Keeps the messages.
    pub log: Arc<dyn History>,
    /// The rooms with a history.
    pub rules: HistoryRules,
}

impl RoomHistory {
    /// The room that keeps a message to this audience, and the bounds of its history.
    pub(crate) fn records<'a>(
        &'a self,
        audience: &'a Audience,
        policy: &OverflowPolicy,
    ) -> Option<(&'a RoomName, &'a HistoryLimits)> {
        match &*audience.to {
            [Target::Room(room)] if *policy == OverflowPolicy::Live => Some((room, self.rules.limits(room)?)),
            _ => None,
        }
    }
}
