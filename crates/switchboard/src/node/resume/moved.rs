//! A session on its way to another node: what its old node sends, or what the store has of it, and how the new node restores
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_event::{Payload, Target};
use switchboard_hub::Session;

use super::seat::{MovedSeat, SentSeat};
use super::taken::TakenSession;
use super::ticket::Ticket;
use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::message::Membership;
use crate::node::{access, membership};

/// A session on its way to another node.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct MovedSession {
    /// Rooms, tags and users that the server has given it.
    pub(super) server_made: Vec<Membership>,
    /// Rooms and tags that depend on the client's rights.
    pub(super) client_made: Vec<Membership>,
    pub(super) remembered: BTreeMap<String, Payload>,
    /// Frames with replies that were computed while it had no connection, in Base64.
    pub(super) replies: Vec<String>,
    /// Its seat, if its protocol has seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seat: Option<SentSeat>,
    /// The session of a dead node that it continues.
    #[serde(skip)]
    pub(super) taken: Option<TakenSession>,
}

impl MovedSession {
    /// Takes what a detached session has.
    pub(super) fn of(node: &Node, session: &Session, replies: Vec<Bytes>) -> Self {
        let state = ConnectionState::of(session);
        // The user of a token is not moved: the client shows its token to the new node.
        let of_token = node.token_bindings.lock().user(session.id).map(Target::User);
        let held = state.grants().map(|grants| grants.held()).unwrap_or_default();
        let targets = session.targets().into_iter().filter(|target| Some(target) != of_token.as_ref());
        let (client_made, server_made): (Vec<_>, Vec<_>) = targets.partition(|target| held.contains(target));
        let memberships = |targets: Vec<Target>| targets.iter().filter_map(Membership::of).collect();
        MovedSession {
            server_made: memberships(server_made),
            client_made: memberships(client_made),
            remembered: state.resume_or_new().all_remembered(),
            replies: replies.iter().map(|frame| STANDARD.encode(frame)).collect(),
            seat: node.seat_of(session),
            taken: None,
        }
    }

    /// The replies that precede everything else.
    pub(crate) fn replies(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.replies.iter().filter_map(|frame| STANDARD.decode(frame).ok()).map(Bytes::from)
    }

    /// Its seat, which the socket of the ticket has.
    pub(crate) fn seat(&self, ticket: &str) -> Option<MovedSeat> {
        self.seat.as_ref()?.of_socket(Ticket::read(ticket)?.session)
    }

    /// The session of a dead node that it continues.
    pub(crate) fn take_taken(&mut self) -> Option<TakenSession> {
        self.taken.take()
    }

    /// Restores the remembered values, before the session is made.
    pub(crate) fn remember_in(&self, state: &ConnectionState) {
        for (key, value) in &self.remembered {
            // The bound is the same on every node.
            let _ = state.resume_or_new().remember(key, value.clone());
        }
    }

    /// Restores what the server has given it.
    pub(crate) fn restore_server_made(&self, node: &Arc<Node>, session: &Arc<Session>) {
        for target in targets(&self.server_made) {
            // It fails only if this node allows fewer memberships.
            let _ = membership::add(node, session, &target);
        }
    }

    /// Restores the rooms and tags that the client still has a right to.
    pub(crate) fn restore_client_made(&self, node: &Arc<Node>, session: &Arc<Session>) {
        for target in targets(&self.client_made) {
            let _ = access::rejoin(node, session, &target);
        }
    }
}

fn targets(memberships: &[Membership]) -> impl Iterator<Item = Target> + '_ {
    memberships.iter().filter_map(|membership| membership.target().ok())
}
