//! The rules of a project.

use switchboard_wire::koji::{MESSAGE_UNITS_MAX, MessageBounds, RECIPIENTS_MAX};

/// The limits and permissions of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRules {
    /// Seats of an automatic shard if the client requests no valid number. Default: 100.
    pub capacity_default: u32,
    /// Maximum number of seats of an automatic shard; a larger request is reduced to this. Default and maximum: 10,000.
    pub capacity_max: u32,
    /// Whether a client that requests a full shard by name is seated on an automatic shard. Default: false,
    /// named shards have no limit.
    pub named_overflow: bool,
    /// Maximum number of clients of the project; a further client is closed with 1013. Default: `None`, no limit.
    pub connections_max: Option<usize>,
    /// Whether the session of a client, with its seat and its place on the member list, is kept for a while after its connection
    /// has broken, if the app has [`Resuming`](crate::Resuming). If not, its seat is free at once. Default: true.
    pub resume: bool,
    /// Whether events of clients that are not logged in are ignored. Default: false.
    pub emit_needs_identity: bool,
    /// Names of the events that clients may emit; a name that ends in `*` is a prefix. Other events are
    /// ignored. Default: `None`, all events are allowed.
    pub events: Option<Vec<String>>,
    /// Longest message of a client, in UTF-16 code units; a longer message is ignored. Default and maximum:
    /// 128,000.
    pub message_units_max: usize,
    /// Maximum number of recipients that a client may name in a message; a message with more is ignored. Each counts as
    /// one message of [`Limits::messages_per_s`](crate::Limits::messages_per_s). Default: 4,096, more ids of clients
    /// than the longest message has space for.
    pub recipients_max: usize,
    /// Longest user info of a client, in bytes of JSON; a longer one is ignored. Default: 16 KiB.
    pub user_info_bytes_max: usize,
    /// Maximum number of bytes of user info of all clients of a shard together; a user info that exceeds it is ignored,
    /// unless it has at most 256 bytes. Each node counts the clients that it knows, so clients that set theirs at the
    /// same time on several nodes may exceed it. Default: 256 KiB.
    pub shard_info_bytes_max: usize,
}

impl Default for ProjectRules {
    fn default() -> Self {
        ProjectRules {
            capacity_default: 100,
            capacity_max: ProjectRules::SEATS_MAX,
            named_overflow: false,
            connections_max: None,
            resume: true,
            emit_needs_identity: false,
            events: None,
            message_units_max: MESSAGE_UNITS_MAX,
            recipients_max: RECIPIENTS_MAX,
            user_info_bytes_max: 16 * 1024,
            shard_info_bytes_max: 256 * 1024,
        }
    }
}

impl ProjectRules {
    /// The highest possible [`capacity_max`](Self::capacity_max).
    pub const SEATS_MAX: u32 = 10_000;

    /// The capacity of an automatic shard. A request is rounded down; if it is then not a number from 1 to
    /// 10,000, it is ignored.
    pub(crate) fn capacity(&self, requested: Option<&str>) -> u32 {
        let number = requested.and_then(|text| text.trim().parse::<f64>().ok()).map(f64::floor);
        let valid = 1.0..=f64::from(ProjectRules::SEATS_MAX);
        let seats = number.filter(|number| valid.contains(number)).map(|number| number as u32);
        seats.unwrap_or(self.capacity_default).min(self.capacity_max).max(1)
    }

    /// The bounds of one message.
    pub(crate) fn message_bounds(&self) -> MessageBounds {
        MessageBounds { units_max: self.message_units_max, recipients_max: self.recipients_max }
    }

    /// Returns true if clients may emit an event.
    pub(crate) fn allows(&self, event: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => event.starts_with(prefix),
            None => event == pattern,
        };
        self.events.as_ref().is_none_or(|events| events.iter().any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_capacity_is_ignored() {
        let rules = ProjectRules::default();
        for (requested, seats) in
            [("1", 1), ("25", 25), ("25.9", 25), (" 7 ", 7), ("1e2", 100), ("10000", 10_000)]
        {
            assert_eq!(rules.capacity(Some(requested)), seats, "{requested}");
        }
        for invalid in
            ["", "0", "0.9", "-1", "10001", "1e9", "NaN", "Infinity", "inf", "null", "0x10", "ten", "[5]"]
        {
            assert_eq!(rules.capacity(Some(invalid)), 100, "{invalid}");
        }
        assert_eq!(rules.capacity(None), 100);
    }

    #[test]
    fn a_capacity_is_limited_by_the_project() {
        let rules = ProjectRules { capacity_max: 20, ..ProjectRules::default() };
        assert_eq!(
            (rules.capacity(Some("21")), rules.capacity(None), rules.capacity(Some("5"))),
            (20, 20, 5)
        );
    }

    #[test]
    fn events_are_allowed_by_name_or_prefix() {
        let events = Some(vec!["tap".into(), "chat_*".into()]);
        let rules = ProjectRules { events, ..ProjectRules::default() };
        assert!(rules.allows("tap") && rules.allows("chat_") && rules.allows("chat_line"));
        assert!(!rules.allows("taps") && !rules.allows("chat") && !rules.allows("*"));
        assert!(ProjectRules::default().allows("anything"));
    }
}
