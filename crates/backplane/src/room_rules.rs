//! Settings of rooms by patterns of their names. The most specific pattern that matches a room decides.

use switchboard_event::{OverflowPolicy, RoomName};

use crate::history::HistoryLimits;

/// Rooms with a history, and its bounds.
pub type HistoryRule = RoomRule<HistoryLimits>;

/// The rules of history.
pub type HistoryRules = RoomRules<HistoryLimits>;

/// The overflow policies of rooms.
pub type OverflowRules = RoomRules<OverflowPolicy>;

/// The rooms that match a pattern, and their setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRule<T> {
    /// The name without its sigil; for a prefix, without the `*`.
    name: Box<str>,
    is_prefix: bool,
    value: T,
}

/// A text is no pattern of rooms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomPatternError {
    /// The text is empty.
    #[error("a pattern of rooms cannot be empty; `*` means every room")]
    Empty,
    /// A `*` is not the last character.
    #[error("`{0}` has a `*` before its end, where it has no meaning")]
    Star(String),
}

impl<T> RoomRule<T> {
    /// A rule for the rooms that match a pattern: a name or, with one `*` at its end, a prefix of names. The prefix `#`
    /// may be omitted.
    ///
    /// ```
    /// use switchboard_backplane::{HistoryLimits, HistoryRule};
    ///
    /// let rule = HistoryRule::new("chat-*", HistoryLimits::default())?;
    /// # Ok::<(), switchboard_backplane::RoomPatternError>(())
    /// ```
    pub fn new(pattern: &str, value: T) -> Result<Self, RoomPatternError> {
        let name = pattern.strip_prefix('#').unwrap_or(pattern);
        let (name, is_prefix) = name.strip_suffix('*').map_or((name, false), |prefix| (prefix, true));
        if name.is_empty() && !is_prefix {
            return Err(RoomPatternError::Empty);
        }
        if name.contains('*') {
            return Err(RoomPatternError::Star(pattern.chars().take(64).collect()));
        }
        Ok(RoomRule { name: name.into(), is_prefix, value })
    }

    fn matches(&self, room: &RoomName) -> bool {
        let name = &room[1..];
        if self.is_prefix { name.starts_with(&*self.name) } else { *name == *self.name }
    }
}

/// The rules of an app, the most specific first: names before prefixes, long prefixes before short ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRules<T>(Vec<RoomRule<T>>);

impl<T> Default for RoomRules<T> {
    fn default() -> Self {
        RoomRules(Vec::new())
    }
}

impl<T> RoomRules<T> {
    /// Adds a rule. It replaces one with the same pattern.
    pub fn insert(&mut self, rule: RoomRule<T>) {
        let key =
            |rule: &RoomRule<T>| (rule.is_prefix, std::cmp::Reverse(rule.name.len()), rule.name.clone());
        match self.0.binary_search_by_key(&key(&rule), key) {
            Ok(at) => self.0[at] = rule,
            Err(at) => self.0.insert(at, rule),
        }
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The setting of a room.
    pub fn of(&self, room: &RoomName) -> Option<&T> {
        self.0.iter().find(|rule| rule.matches(room)).map(|rule| &rule.value)
    }
}

impl HistoryRules {
    /// The bounds of a room's history; none if the room has no history.
    pub fn limits(&self, room: &RoomName) -> Option<&HistoryLimits> {
        self.of(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_decides_in_any_order_of_the_rules() {
        let patterns = [("#*", 4), ("chat-*", 3), ("chat-v*", 2), ("#chat-vip", 1)];
        let rules = |patterns: &mut dyn Iterator<Item = &(&str, u64)>| {
            let mut rules = HistoryRules::default();
            for (pattern, messages_max) in patterns {
                let limits = HistoryLimits { messages_max: *messages_max, ..HistoryLimits::default() };
                rules.insert(HistoryRule::new(pattern, limits).unwrap());
            }
            rules
        };
        let sorted = rules(&mut patterns.iter());
        assert_eq!(sorted, rules(&mut patterns.iter().rev()));
        assert_eq!(sorted, rules(&mut [("chat-*", 9)].iter().chain(&patterns)), "the later rule counts");
        let messages = |room: &str| sorted.limits(&RoomName::new(room).unwrap()).unwrap().messages_max;
        assert_eq!(["chat-vip", "chat-vip-2", "chat-", "chat"].map(messages), [1, 2, 3, 4]);
        assert_eq!(HistoryRules::default().limits(&RoomName::new("chat").unwrap()), None);
    }

    #[test]
    fn a_pattern_is_a_name_or_a_prefix() {
        let rule = |pattern| HistoryRule::new(pattern, HistoryLimits::default()).map(|_| ());
        assert!([rule("*"), rule("#*"), rule("a"), rule("##shard")].iter().all(Result::is_ok));
        assert_eq!([rule(""), rule("#")], [Err(RoomPatternError::Empty), Err(RoomPatternError::Empty)]);
        assert_eq!(rule("a*b*"), Err(RoomPatternError::Star("a*b*".to_owned())));
    }
}
