//! The state of a connection for rate rules: the rules of the names that it uses, its own budgets, and its keys.

use std::sync::{Mutex, MutexGuard};

use switchboard_event::{Cell, Name, RuleSet, UserId};

use crate::node::rates::rules::CompiledRules;
use crate::node::rates::table::RateTableKey;

/// Names of events that a connection remembers. Most clients send fewer.
const NAMES_MAX: usize = 8;

/// The rate state of a connection. Exists only for connections to which a rule has applied.
#[derive(Default)]
pub(crate) struct ConnectionRates(Mutex<ConnectionRateState>);

/// The state behind the lock.
#[derive(Default)]
pub(crate) struct ConnectionRateState {
    /// The version of the rules from which this state was made.
    version: u64,
    names: Vec<(Name, RuleSet)>,
    /// The place in `names` that is replaced next.
    next: usize,
    /// The budgets of this socket, for rules that count single sockets, by the number of the rule.
    cells: Vec<(usize, Cell)>,
    /// The keys of rules, by the number of the rule; `None` if it counts the socket itself.
    keys: Vec<(usize, Option<RateTableKey>)>,
    /// The user of these keys.
    user: Option<UserId>,
}

impl ConnectionRates {
    pub(crate) fn lock(&self) -> MutexGuard<'_, ConnectionRateState> {
        self.0.lock().expect("no code that holds the lock panics")
    }
}

impl ConnectionRateState {
    /// Forgets the state of earlier rules.
    pub(crate) fn renew(&mut self, rules: &CompiledRules) {
        if self.version != rules.version {
            *self = ConnectionRateState { version: rules.version, ..ConnectionRateState::default() };
        }
    }

    /// The rules of an event.
    pub(crate) fn rules_of(&mut self, name: &Name, rules: &CompiledRules) -> RuleSet {
        if let Some((_, found)) = self.names.iter().find(|(known, _)| known == name) {
            return *found;
        }
        let found = rules.matcher.of_event(name);
        if self.names.len() < NAMES_MAX {
            self.names.push((name.clone(), found));
        } else {
            self.names[self.next] = (name.clone(), found);
            self.next = (self.next + 1) % NAMES_MAX;
        }
        found
    }

    /// The budget of the socket for a rule.
    pub(crate) fn cell(&mut self, rule: usize) -> &mut Cell {
        let at = self.cells.iter().position(|(number, _)| *number == rule).unwrap_or_else(|| {
            self.cells.push((rule, Cell::default()));
            self.cells.len() - 1
        });
        &mut self.cells[at].1
    }

    /// The key of a rule. It is made once, as long as the socket has the same user.
    pub(crate) fn key(
        &mut self,
        rule: usize,
        user: Option<&UserId>,
        make: impl FnOnce() -> Option<RateTableKey>,
    ) -> Option<RateTableKey> {
        if self.user.as_ref() != user {
            self.user = user.cloned();
            self.keys.clear();
        }
        if let Some((_, key)) = self.keys.iter().find(|(number, _)| *number == rule) {
            return *key;
        }
        let key = make();
        self.keys.push((rule, key));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_names_is_bounded_and_found_again() {
        let (rules, mut state) = (CompiledRules::default(), ConnectionRateState::default());
        for number in 0..1000 {
            let name = Name::new(&format!("event {}", number % 20)).unwrap();
            assert!(state.rules_of(&name, &rules).is_empty());
            assert!(state.names.len() <= NAMES_MAX);
        }
    }

    #[test]
    fn keys_are_made_again_for_another_user_only() {
        let (mut state, ann) = (ConnectionRateState::default(), UserId::new("ann").unwrap());
        let key = |number| move || Some(RateTableKey(number));
        assert_eq!(state.key(0, None, key(1)), Some(RateTableKey(1)));
        assert_eq!(state.key(0, None, key(2)), Some(RateTableKey(1)));
        assert_eq!(state.key(0, Some(&ann), key(3)), Some(RateTableKey(3)));
        assert_eq!(state.key(1, Some(&ann), key(4)), Some(RateTableKey(4)));
        assert_eq!(state.key(0, Some(&ann), key(5)), Some(RateTableKey(3)));
    }
}
