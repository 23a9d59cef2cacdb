//! Which rooms have a history, by patterns of their names. The most specific pattern that matches a room decides.

use switchboard_event::RoomName;

use crate::history::HistoryLimits;

/// Rooms with a history, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRule {
    /// The name without its sigil; for a prefix, without the `*`.
    name: Box<str>,
    is_prefix: bool,
    limits: HistoryLimits,
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

impl HistoryRule {
    /// A rule for the rooms that match a pattern: a name or, with one `*` at its end, a prefix of names. The prefix `#`
    /// may be omitted.
    ///
    /// ```
    /// use switchboard_backplane::{HistoryLimits, HistoryRule};
    ///
    /// let rule = HistoryRule::new("chat-*", HistoryLimits::default())?;
    /// # Ok::<(), switchboard_backplane::RoomPatternError>(())
    /// ```
    pub fn new(pattern: &str, limits: HistoryLimits) -> Result<Self, RoomPatternError> {
        let name = pattern.strip_prefix('#').unwrap_or(pattern);
        let (name, is_prefix) = name.strip_suffix('*').map_or((name, false), |prefix| (prefix, true));
        if name.is_empty() && !is_prefix {
            return Err(RoomPatternError::Empty);
        }
        if name.contains('*') {
            return Err(RoomPatternError::Star(pattern.chars().take(64).collect()));
        }
        Ok(HistoryRule { name: name.into(), is_prefix, limits })
    }

    fn matches(&self, room: &RoomName) -> bool {
        let name = &room[1..];
        if self.is_prefix { name.starts_with(&*self.name) } else { *name == *self.name }
    }
}

/// The rules of an app, the most specific first: names before prefixes, long prefixes before short ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryRules(Vec<HistoryRule>);

impl HistoryRules {
    /// Adds a rule. It replaces one with the same pattern.
    pub fn insert(&mut self, rule: HistoryRule) {
        let key =
            |rule: &HistoryRule| (rule.is_prefix, std::cmp::Reverse(rule.name.len()), rule.name.clone());
        match self.0.binary_search_by_key(&key(&rule), key) {
            Ok(at) => self.0[at] = rule,
            Err(at) => self.0.insert(at, rule),
        }
    }

    /// Returns true if no room has a history.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bounds of a room's history; none if the room has no history.
    pub fn limits(&self, room: &RoomName) -> Option<&HistoryLimits> {
        self.0.iter().find(|rule| rule.matches(room)).map(|rule| &rule.limits)
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
