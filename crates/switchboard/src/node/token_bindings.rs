//! Sockets that are logged in by a token: their users, and when each token expires.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use switchboard_event::{SocketId, TokenId, UserId};

/// The token bindings of a node.
#[derive(Default)]
pub(crate) struct TokenBindings(Mutex<Bindings>);

#[derive(Default)]
pub(crate) struct Bindings {
    bound: HashMap<SocketId, Binding>,
    /// The expiry of each binding that has one, in milliseconds since 1970.
    expiries: BTreeSet<(u64, SocketId)>,
}

/// A login by a token.
pub(crate) struct Binding {
    pub(crate) user: UserId,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) token_id: Option<TokenId>,
    /// 0 if it is not known.
    pub(crate) issued_ms: u64,
}

impl TokenBindings {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bindings> {
        self.0.lock().expect("no code that holds the bindings panics")
    }
}

impl Bindings {
    /// The user of the token with which a socket is logged in.
    pub(crate) fn user(&self, id: SocketId) -> Option<UserId> {
        self.bound.get(&id).map(|binding| binding.user.clone())
    }

    /// Binds a socket to a user, replacing an earlier binding.
    pub(crate) fn bind(&mut self, id: SocketId, binding: Binding) {
        let expires_ms = binding.expires_ms;
        let previous = self.bound.insert(id, binding);
        self.forget_expiry(id, previous.and_then(|previous| previous.expires_ms));
        self.expiries.extend(expires_ms.map(|end| (end, id)));
    }

    /// Returns true if the socket is logged in as the user by a token that was issued before a time.
    pub(crate) fn is_issued_before(&self, id: SocketId, user: &UserId, time_ms: u64) -> bool {
        self.bound.get(&id).is_some_and(|binding| binding.user == *user && binding.issued_ms < time_ms)
    }

    /// The ids of all tokens that have one, with the sockets that they have logged in.
    pub(crate) fn token_ids(&self) -> impl Iterator<Item = (SocketId, &TokenId)> {
        self.bound.iter().filter_map(|(socket, binding)| Some((*socket, binding.token_id.as_ref()?)))
    }

    /// Removes the binding of a socket that has closed, or of a revoked token.
    pub(crate) fn remove(&mut self, id: SocketId) {
        if let Some(binding) = self.bound.remove(&id) {
            self.forget_expiry(id, binding.expires_ms);
            self.shrink();
        }
    }

    /// Removes and returns the bindings that have expired.
    pub(crate) fn take_expired(&mut self, now_ms: u64) -> Vec<(SocketId, UserId)> {
        let mut expired = Vec::new();
        while let Some((end, id)) = self.expiries.first().copied()
            && end <= now_ms
        {
            self.expiries.pop_first();
            let binding = self.bound.remove(&id).expect("every expiry has a binding");
            expired.push((id, binding.user));
        }
        self.shrink();
        expired
    }

    fn forget_expiry(&mut self, id: SocketId, expires_ms: Option<u64>) {
        if let Some(end) = expires_ms {
            self.expiries.remove(&(end, id));
        }
    }

    fn shrink(&mut self) {
        if self.bound.capacity() > 4 * self.bound.len().max(16) {
            self.bound.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> UserId {
        UserId::new("ann").unwrap()
    }

    fn until(expires_ms: Option<u64>) -> Binding {
        Binding { user: ann(), expires_ms, token_id: None, issued_ms: 0 }
    }

    #[test]
    fn a_renewed_binding_expires_with_its_last_token() {
        let (mut bindings, id) = (Bindings::default(), SocketId::random());
        bindings.bind(id, until(Some(1_000)));
        bindings.bind(id, until(Some(5_000)));
        assert!(bindings.take_expired(4_999).is_empty());
        assert_eq!(bindings.take_expired(5_000), [(id, ann())]);
        assert_eq!(bindings.user(id), None);
    }

    #[test]
    fn any_number_of_tokens_leaves_one_entry_for_an_open_socket_and_none_for_a_closed_one() {
        let mut bindings = Bindings::default();
        let ids: Vec<_> = (0..1000).map(|_| SocketId::random()).collect();
        for (number, id) in ids.iter().enumerate() {
            for end in 0..10 {
                bindings.bind(*id, until((number % 3 > 0).then_some(1_000_000 + end)));
            }
        }
        bindings.bind(ids[1], until(None));
        assert_eq!((bindings.bound.len(), bindings.expiries.len()), (1000, 665));
        ids.iter().for_each(|id| bindings.remove(*id));
        bindings.remove(ids[0]);
        assert_eq!((bindings.bound.len(), bindings.expiries.len()), (0, 0));
        assert!(bindings.bound.capacity() <= 64, "{}", bindings.bound.capacity());
    }
}
