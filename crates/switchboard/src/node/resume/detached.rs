//! The detached sessions of a node, by id and by the end of their time.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use switchboard_event::SocketId;

use crate::node::ending_session::EndingSession;

/// A session without a connection.
pub(crate) struct Detached {
    pub(crate) ending: EndingSession,
    /// It was logged in by a token, so it can be resumed only while that is valid.
    pub(crate) had_token: bool,
    /// Code and reason for the `@disconnect` hooks, should it end now.
    pub(crate) code: u16,
    pub(crate) reason: String,
    expires: Instant,
}

#[derive(Default)]
pub(super) struct DetachedSessions {
    sessions: HashMap<SocketId, Detached>,
    expiries: BTreeSet<(Instant, SocketId)>,
    /// Closed, and to be ended by the sweep.
    closed: Vec<Detached>,
}

impl Detached {
    pub(super) fn new(ending: EndingSession, had_token: bool, code: u16, expires: Instant) -> Self {
        Detached { ending, had_token, code, reason: "the session was not resumed".into(), expires }
    }
}

impl DetachedSessions {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// When a session ends if it is not resumed.
    pub(super) fn expiry_of(&self, id: SocketId) -> Option<Instant> {
        self.sessions.get(&id).map(|detached| detached.expires)
    }

    pub(super) fn insert(&mut self, detached: Detached) {
        let id = detached.ending.session.id;
        self.expiries.insert((detached.expires, id));
        self.sessions.insert(id, detached);
    }

    pub(super) fn take(&mut self, id: SocketId) -> Option<Detached> {
        let detached = self.sessions.remove(&id)?;
        self.expiries.remove(&(detached.expires, id));
        if self.sessions.capacity() > 4 * self.sessions.len().max(16) {
            self.sessions.shrink_to_fit();
        }
        Some(detached)
    }

    /// Lets the next [`take_ended`](Self::take_ended) return a session. Returns false if it is not detached.
    pub(super) fn close(&mut self, id: SocketId, code: u16, reason: &str) -> bool {
        let Some(mut detached) = self.take(id) else { return false };
        (detached.code, detached.reason) = (code, reason.to_owned());
        self.closed.push(detached);
        true
    }

    /// Removes and returns a session that was closed, or expired by `now`.
    pub(super) fn take_ended(&mut self, now: Instant) -> Option<Detached> {
        if let Some(closed) = self.closed.pop() {
            return Some(closed);
        }
        let (expires, id) = *self.expiries.first()?;
        if expires > now { None } else { self.take(id) }
    }

    /// Removes and returns any session.
    pub(super) fn take_any(&mut self) -> Option<Detached> {
        self.closed.pop().or_else(|| self.expiries.first().copied().and_then(|(_, id)| self.take(id)))
    }
}
