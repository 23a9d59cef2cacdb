//! The kinds of events that an endpoint can receive.

use std::str::FromStr;

use switchboard_backplane::ClientAction;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A client connected.
    Connected,
    /// A client authenticated as a user.
    Authenticated,
    /// A client disconnected, or its node crashed.
    Disconnected,
    /// A client of a crashed node has resumed its session on another one.
    Resumed,
    /// A client joined a room.
    Joined,
    /// A client left a room.
    Left,
    /// A room got its first member.
    Occupied,
    /// A room has lost its last member.
    Vacated,
    /// A client sent an event that has no handler.
    Message,
    /// An event was sent to a user without a socket.
    Undeliverable,
    /// A node has closed its clients, because it stops.
    Drained,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 11] = [
        EventKind::Connected,
        EventKind::Authenticated,
        EventKind::Disconnected,
        EventKind::Resumed,
        EventKind::Joined,
        EventKind::Left,
        EventKind::Occupied,
        EventKind::Vacated,
        EventKind::Message,
        EventKind::Undeliverable,
        EventKind::Drained,
    ];

    /// The kind of a report. `None` for an action that webhooks do not know.
    pub(crate) fn of(action: &ClientAction) -> Option<Self> {
        Some(match action {
            ClientAction::Connected => EventKind::Connected,
            ClientAction::Authenticated => EventKind::Authenticated,
            ClientAction::Disconnected { .. } => EventKind::Disconnected,
            ClientAction::Resumed { .. } => EventKind::Resumed,
            ClientAction::Joined(_) => EventKind::Joined,
            ClientAction::Left(_) => EventKind::Left,
            ClientAction::Occupied(_) => EventKind::Occupied,
            ClientAction::Vacated(_) => EventKind::Vacated,
            ClientAction::Message(_) => EventKind::Message,
            ClientAction::Undeliverable { .. } => EventKind::Undeliverable,
            ClientAction::Drained => EventKind::Drained,
            _ => return None,
        })
    }

    /// The name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Connected => "connected",
            EventKind::Authenticated => "authenticated",
            EventKind::Disconnected => "disconnected",
            EventKind::Resumed => "resumed",
            EventKind::Joined => "joined",
            EventKind::Left => "left",
            EventKind::Occupied => "occupied",
            EventKind::Vacated => "vacated",
            EventKind::Message => "message",
            EventKind::Undeliverable => "undeliverable",
            EventKind::Drained => "drained",
        }
    }
}

/// No kind of event has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `connected`, `authenticated`, `disconnected`, `resumed`, `joined`, `left`, `occupied`, `vacated`, `message`, `undeliverable` or `drained`"
)]
pub struct EventKindError;

impl FromStr for EventKind {
    type Err = EventKindError;

    fn from_str(text: &str) -> Result<Self, EventKindError> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or(EventKindError)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventSet(u16);

impl EventSet {
    /// Returns true if the kind is in the set.
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// The kinds of both sets.
    pub fn union(self, other: EventSet) -> Self {
        EventSet(self.0 | other.0)
    }
}

impl FromIterator<EventKind> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        EventSet(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_from_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(EventKindError.to_string().contains(&format!("`{}`", kind.name())), "{}", kind.name());
        }
        assert_eq!("drain".parse::<EventKind>(), Err(EventKindError));
    }

    #[test]
    fn a_set_contains_its_kinds_only() {
        let some: EventSet = [EventKind::Joined, EventKind::Undeliverable].into_iter().collect();
        let contained: Vec<_> = EventKind::ALL.into_iter().filter(|kind| some.contains(*kind)).collect();
        assert_eq!(contained, [EventKind::Joined, EventKind::Undeliverable]);
    }
}
