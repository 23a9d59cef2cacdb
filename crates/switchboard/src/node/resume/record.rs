//! The records with which other nodes resume the sessions of this one when it has died.
//!
//! A record begins with the digest of the session's current ticket, so the key of the tickets stays on its node, and a ticket
//! that was used before is worth nothing. Memberships are not part of it: the store has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use switchboard_backplane::LocalSessions;
use switchboard_event::{Payload, ProjectId, Protocol, SocketId, Target};
use switchboard_hub::Session;

use super::sessions::state_of;
use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::message::Membership;

/// Bytes of a ticket's digest.
const DIGEST_LEN: usize = 16;

/// What a session has beside its memberships.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    /// The place of its protocol in [`Protocol::ALL`].
    protocol: usize,
    /// The user of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Rooms and tags that depend on the client's rights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) client_made: Vec<Membership>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) remembered: BTreeMap<String, Payload>,
}

impl SessionRecord {
    fn of(node: &Node, session: &Session) -> Self {
        let state = ConnectionState::of(session);
        let held = state.grants().map(|grants| grants.held()).unwrap_or_default();
        SessionRecord {
            protocol: session.protocol.index(),
            user: node.token_bindings.lock().user(session.id).map(|user| user.to_string()),
            client_made: held.iter().filter_map(Membership::of).collect(),
            remembered: state_of(session).all_remembered(),
        }
    }

    /// Reads the record of the session of a ticket. `None` if it is the record for another ticket.
    pub(super) fn read(record: &[u8], ticket: &str) -> Option<Self> {
        let (expected, json) = record.split_at_checked(DIGEST_LEN)?;
        if *expected != ticket_digest(ticket) {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    pub(super) fn protocol(&self) -> Option<Protocol> {
        Protocol::ALL.get(self.protocol).copied()
    }

    /// Returns true if a membership depends on the client's rights.
    pub(super) fn is_client_made(&self, target: &Target) -> bool {
        Membership::of(target).is_some_and(|membership| self.client_made.contains(&membership))
    }
}

fn ticket_digest(ticket: &str) -> [u8; DIGEST_LEN] {
    let digest = digest(&SHA256, ticket.as_bytes());
    *digest.as_ref().first_chunk().expect("a digest has 32 bytes")
}

/// Lets the store write the record of a session again, because it has changed.
pub(crate) fn record_changed(node: &Node, session: &Session) {
    let Some(state) = ConnectionState::of(session).resume() else { return };
    if node.resumable().is_some() && node.has_shared_store() && state.is_offered() && state.queue_record() {
        node.hub().store().record_changed(&session.project.id, session.id);
    }
}

impl LocalSessions for Node {
    fn record(&self, socket: SocketId) -> Option<Bytes> {
        let session = self.hub().index().session(socket)?;
        let state = ConnectionState::of(&session).resume()?;
        // First, so that a change from here on is written, too.
        state.begin_record();
        let sessions = self.resumable().filter(|_| state.is_offered())?;
        let ticket = sessions.ticket(state, session.id, &session.project.id);
        let json =
            serde_json::to_vec(&SessionRecord::of(self, &session)).expect("texts and payloads are JSON");
        Some([&ticket_digest(&ticket)[..], &json].concat().into())
    }

    fn for_each_session(&self, visit: &mut dyn FnMut(&ProjectId, SocketId)) {
        let offered = |session: &Arc<Session>| {
            ConnectionState::of(session).resume().is_some_and(|state| state.is_offered())
        };
        let sessions = self.hub().index().all_sessions();
        sessions
            .iter()
            .filter(|session| offered(session))
            .for_each(|session| visit(&session.project.id, session.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_with_its_ticket_only() {
        let record = SessionRecord { user: Some("ann".into()), ..SessionRecord::default() };
        let bytes = [&ticket_digest("one")[..], &serde_json::to_vec(&record).unwrap()].concat();
        assert_eq!(SessionRecord::read(&bytes, "one").unwrap().user.as_deref(), Some("ann"));
        for (bad, ticket) in
            [(&bytes[..], "two"), (&bytes[..], ""), (&bytes[..20], "one"), (b"-", "one"), (b"", "")]
        {
            assert!(SessionRecord::read(bad, ticket).is_none(), "{bad:?}");
        }
    }
}
