//! Sockets that are logged in by a token: their users, and when each token expires.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use switchboard_event::{SocketId, UserId};

/// The token bindings of a node.
#[derive(Default)]
pub(crate) struct TokenBindings(Mutex<Bindings>);

#[derive(Default)]
pub(crate) struct Bindings {
    bound: HashMap<SocketId, Binding>,
    /// Sockets by the second in which their token expires. An entry may be outdated; the expiry in
    /// `bound` is authoritative.
    expiries: BTreeMap<u64, Vec<SocketId>>,
}

struct Binding {
    user: UserId,
    expires_ms: Option<u64>,
}

impl TokenBindings {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bindings> {
        self.0.lock().expect("no code that holds the bindings panics")
    }

    /// Removes the binding of a socket that has closed.
    pub(crate) fn remove(&self, id: SocketId) {
        self.lock().bound.remove(&id);
    }
}

impl Bindings {
    /// The user of the token with which a socket is logged in.
    pub(crate) fn user(&self, id: SocketId) -> Option<UserId> {
        self.bound.get(&id).map(|binding| binding.user.clone())
    }

    /// Binds a socket to a user, replacing an earlier binding.
    pub(crate) fn bind(&mut self, id: SocketId, user: UserId, expires_ms: Option<u64>) {
        if let Some(end) = expires_ms {
            self.expiries.entry(end / 1000).or_default().push(id);
        }
        self.bound.insert(id, Binding { user, expires_ms });
    }

    /// Removes and returns the expired bindings.
    pub(crate) fn take_expired(&mut self, now_ms: u64) -> Vec<(SocketId, UserId)> {
        let later = self.expiries.split_off(&(now_ms / 1000));
        let due = std::mem::replace(&mut self.expiries, later).into_values().flatten();
        let bound = &mut self.bound;
        due.filter_map(|id| {
            let has_expired = bound.get(&id)?.expires_ms.is_some_and(|end| end <= now_ms);
            let binding = if has_expired { bound.remove(&id) } else { None };
            binding.map(|binding| (id, binding.user))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_binding_expires_with_its_last_token() {
        let (mut bindings, id, user) = (Bindings::default(), SocketId::random(), UserId::new("ann").unwrap());
        bindings.bind(id, user.clone(), Some(1_000));
        bindings.bind(id, user.clone(), Some(5_000));
        assert!(bindings.take_expired(2_000).is_empty());
        assert_eq!(bindings.take_expired(6_000), [(id, user)]);
        assert_eq!(bindings.user(id), None);
    }
}
