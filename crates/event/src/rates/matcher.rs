//! Which rules count an event or an operation, compiled from all rules.

use std::collections::HashMap;

use crate::rates::operation::RatedOperation;
use crate::rates::rule::{RATE_RULES_MAX, RateRule};

/// Rules by their number, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleSet(u64);

impl RuleSet {
    /// No rule.
    pub const NONE: RuleSet = RuleSet(0);

    fn of(rule: usize) -> Self {
        RuleSet(1 << rule)
    }

    /// Returns true if no rule is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rules of both sets.
    pub fn union(self, other: RuleSet) -> RuleSet {
        RuleSet(self.0 | other.0)
    }

    /// The numbers of the rules, ascending, from 0.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

/// The compiled events of rules.
#[derive(Debug, Default)]
pub struct RateMatcher {
    names: HashMap<Box<str>, RuleSet>,
    prefixes: Vec<(Box<str>, RuleSet)>,
    operations: [RuleSet; RatedOperation::COUNT],
}

impl RateMatcher {
    /// Compiles rules. Those beyond [`RATE_RULES_MAX`] have no effect.
    pub fn new(rules: &[RateRule]) -> Self {
        let mut matcher = RateMatcher::default();
        for (number, rule) in rules.iter().take(RATE_RULES_MAX).enumerate() {
            rule.events().iter().for_each(|event| matcher.add(event, RuleSet::of(number)));
        }
        matcher
    }

    fn add(&mut self, event: &str, rule: RuleSet) {
        let rules = match (RatedOperation::of_name(event), event.strip_suffix('*')) {
            (Some(operation), _) => &mut self.operations[operation.index()],
            (None, None) => self.names.entry(event.into()).or_default(),
            (None, Some(prefix)) => {
                self.prefixes.push((prefix.into(), RuleSet::NONE));
                &mut self.prefixes.last_mut().expect("it was pushed").1
            }
        };
        *rules = rules.union(rule);
    }

    /// The rules that count an event.
    pub fn of_event(&self, name: &str) -> RuleSet {
        let exact = self.names.get(name).copied().unwrap_or_default();
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| name.starts_with(&**prefix));
        prefixes.fold(exact, |all, (_, rules)| all.union(*rules))
    }

    /// The rules that count an operation.
    pub fn of_operation(&self, operation: RatedOperation) -> RuleSet {
        self.operations[operation.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::rule::RateKey;

    fn matcher(events: &[&[&str]]) -> RateMatcher {
        let rule = |events: &&[&str]| RateRule::new(events.iter().copied(), RateKey::Socket, "1/s").unwrap();
        RateMatcher::new(&events.iter().map(rule).collect::<Vec<_>>())
    }

    fn numbers(rules: RuleSet) -> Vec<usize> {
        rules.iter().collect()
    }

    #[test]
    fn an_event_is_counted_by_all_rules_that_name_it_or_a_prefix_of_it() {
        let matcher = matcher(&[&["/message", "chat_*"], &["*"], &["chat_typing"], &["@join", "chat_*"]]);
        for (event, rules) in [
            ("/message", vec![0, 1]),
            ("/messages", vec![1]),
            ("chat_typing", vec![0, 1, 2, 3]),
            ("chat_", vec![0, 1, 3]),
            ("chat", vec![1]),
            ("@join", vec![1]),
        ] {
            assert_eq!(numbers(matcher.of_event(event)), rules, "{event}");
        }
        assert_eq!(numbers(matcher.of_operation(RatedOperation::Join)), [3]);
        assert!(matcher.of_operation(RatedOperation::Login).is_empty());
    }

    #[test]
    fn sixty_four_rules_are_told_apart() {
        let names: Vec<String> = (0..RATE_RULES_MAX).map(|number| format!("e{number}")).collect();
        let events: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let events: Vec<&[&str]> = events.iter().map(|event| &event[..]).collect();
        let matcher = matcher(&events);
        for (number, name) in names.iter().enumerate() {
            assert_eq!(numbers(matcher.of_event(name)), [number]);
        }
    }
}
