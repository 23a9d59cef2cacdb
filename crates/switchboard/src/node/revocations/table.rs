//! The revocations that a node knows.

use std::collections::HashMap;

use switchboard_backplane::Revocation;
use switchboard_event::ProjectId;

use crate::node::verifier::Identity;

/// The revocations, by [`Revocation::key`].
#[derive(Default)]
pub(crate) struct RevocationTable {
    by_key: HashMap<Box<str>, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    issued_before_ms: u64,
    until_ms: u64,
    /// Stored, and published to other nodes.
    is_shared: bool,
}

impl RevocationTable {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many of these revocations are new.
    pub(crate) fn count_new(&self, revocations: &[Revocation]) -> usize {
        revocations.iter().filter(|revocation| !self.by_key.contains_key(&*revocation.key())).count()
    }

    /// Adds a revocation. The later times count, if the table has one for the same tokens.
    pub(crate) fn add(&mut self, revocation: &Revocation, is_shared: bool) {
        let Revocation { until_ms, .. } = *revocation;
        let issued_before_ms = revocation.issued_before_ms();
        let entry = self.by_key.entry(revocation.key().into());
        let entry = entry.or_insert(Entry { issued_before_ms, until_ms, is_shared });
        entry.issued_before_ms = entry.issued_before_ms.max(issued_before_ms);
        entry.until_ms = entry.until_ms.max(until_ms);
        entry.is_shared &= is_shared;
    }

    /// Returns true if the token is revoked.
    pub(crate) fn revokes(&self, project: &ProjectId, identity: &Identity, now_ms: u64) -> bool {
        if self.by_key.is_empty() {
            return false;
        }
        let find = |key: String| self.by_key.get(&*key).filter(|entry| entry.until_ms > now_ms);
        let by_id = || identity.token_id.as_ref().and_then(|id| find(Revocation::key_of_token(project, id)));
        let by_user = find(Revocation::key_of_user(project, &identity.user));
        by_user.is_some_and(|entry| identity.issued_ms() < entry.issued_before_ms) || by_id().is_some()
    }

    /// The revocations that are not shared yet.
    pub(crate) fn unshared(&self) -> Vec<Revocation> {
        let unshared = self.by_key.iter().filter(|(_, entry)| !entry.is_shared);
        unshared
            .filter_map(|(key, entry)| Revocation::read(key, entry.issued_before_ms, entry.until_ms))
            .collect()
    }

    /// Records that revocations are shared, unless they were changed meanwhile.
    pub(crate) fn mark_shared(&mut self, revocations: &[Revocation]) {
        for revocation in revocations {
            if let Some(entry) = self.by_key.get_mut(&*revocation.key())
                && (entry.issued_before_ms, entry.until_ms)
                    == (revocation.issued_before_ms(), revocation.until_ms)
            {
                entry.is_shared = true;
            }
        }
    }

    /// Forgets revocations of expired tokens.
    pub(crate) fn sweep(&mut self, now_ms: u64) {
        self.by_key.retain(|_, entry| entry.until_ms > now_ms);
        if self.by_key.capacity() > 4 * self.by_key.len().max(16) {
            self.by_key.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use switchboard_backplane::RevokedTokens;
    use switchboard_event::{TokenId, UserId};

    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::new(name).unwrap()
    }

    fn of_token(id: &str, until_ms: u64) -> Revocation {
        let tokens = RevokedTokens::WithId(TokenId::new(id).unwrap());
        Revocation { project: project("p"), tokens, until_ms }
    }

    fn of_user(issued_before_ms: u64, until_ms: u64) -> Revocation {
        let tokens = RevokedTokens::OfUser { user: UserId::new("ann").unwrap(), issued_before_ms };
        Revocation { project: project("p"), tokens, until_ms }
    }

    /// A token of Ann.
    fn token(id: Option<&str>, issued_ms: Option<u64>) -> Identity {
        Identity {
            token_id: id.map(|id| TokenId::new(id).unwrap()),
            issued: issued_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
            ..Identity::new(UserId::new("ann").unwrap())
        }
    }

    #[test]
    fn a_token_is_revoked_by_its_id_in_its_project_until_the_end() {
        let mut table = RevocationTable::default();
        table.add(&of_token("a", 100), true);
        assert!(table.revokes(&project("p"), &token(Some("a"), Some(1)), 99));
        assert!(!table.revokes(&project("p"), &token(Some("a"), Some(1)), 100));
        assert!(!table.revokes(&project("q"), &token(Some("a"), Some(1)), 99));
        assert!(!table.revokes(&project("p"), &token(Some("b"), Some(1)), 99));
        assert!(!table.revokes(&project("p"), &token(None, None), 99));
    }

    #[test]
    fn tokens_of_a_user_are_revoked_if_they_were_issued_before_or_at_an_unknown_time() {
        let mut table = RevocationTable::default();
        table.add(&of_user(50, 100), true);
        assert!(table.revokes(&project("p"), &token(None, Some(49)), 60));
        assert!(table.revokes(&project("p"), &token(None, None), 60));
        assert!(!table.revokes(&project("p"), &token(None, Some(50)), 60));
        let bob = Identity::new(UserId::new("bob").unwrap());
        assert!(!table.revokes(&project("p"), &bob, 60));
    }

    #[test]
    fn an_earlier_revocation_weakens_no_later_one() {
        let mut table = RevocationTable::default();
        for revocation in [of_user(50, 100), of_user(40, 200), of_user(45, 90)] {
            table.add(&revocation, true);
        }
        assert_eq!(table.len(), 1);
        assert!(table.revokes(&project("p"), &token(None, Some(49)), 199));
    }

    #[test]
    fn a_revocation_is_unshared_until_exactly_it_was_shared() {
        let mut table = RevocationTable::default();
        table.add(&of_token("a", 100), false);
        let sent = table.unshared();
        assert_eq!(sent, [of_token("a", 100)]);
        table.add(&of_token("a", 200), false);
        table.mark_shared(&sent);
        assert_eq!(table.unshared(), [of_token("a", 200)]);
        table.mark_shared(&table.unshared());
        assert_eq!(table.unshared(), []);
        assert_eq!(table.count_new(&[of_token("a", 1), of_token("b", 1)]), 1);
    }

    #[test]
    fn expired_revocations_are_forgotten_and_their_memory_freed() {
        let mut table = RevocationTable::default();
        for number in 0..1000 {
            table.add(&of_token(&number.to_string(), 100 + number), true);
        }
        table.sweep(1098);
        assert_eq!(table.len(), 1);
        assert!(table.by_key.capacity() <= 64, "{}", table.by_key.capacity());
    }
}
