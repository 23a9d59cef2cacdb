//! Sessions that move to another node. The node that holds a session checks its ticket, takes the session from its
//! connection, and answers with its contents, from which the other node makes a new session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_event::{Payload, ProjectId, Protocol, Target, UserId};
use switchboard_hub::Session;
use switchboard_ws::CloseCode;

use super::detached::Detached;
use super::take_over::{Claim, ResumeError, Taker, find, take_over};
use super::ticket::Ticket;
use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::message::{Membership, RemoteCall};
use crate::node::resume::end_moved;
use crate::node::{access, membership, remote};

/// How long to wait for the node that holds the session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// A session on its way to another node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct MovedSession {
    /// Rooms, tags and users that the server has given it.
    server_made: Vec<Membership>,
    /// Rooms and tags that depend on the client's rights.
    client_made: Vec<Membership>,
    remembered: BTreeMap<String, Payload>,
    /// Frames with replies that were computed while it had no connection, in Base64.
    replies: Vec<String>,
}

/// The answer of the node that holds a session.
#[derive(Serialize, Deserialize)]
enum Answer {
    Moved(Box<MovedSession>),
    /// The label of a [`ResumeError`].
    Refused(String),
}

impl MovedSession {
    /// The contents of a detached session.
    fn of(node: &Node, session: &Session, replies: Vec<Bytes>) -> Self {
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
        }
    }

    /// The replies that precede everything else.
    pub(crate) fn replies(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.replies.iter().filter_map(|frame| STANDARD.decode(frame).ok()).map(Bytes::from)
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

/// Returns true if a ticket names a session of another node.
pub(crate) fn is_of_another_node(node: &Node, text: &str) -> bool {
    Ticket::read(text).is_some_and(|ticket| remote::is_elsewhere(node, ticket.session))
}

/// Asks the node of a session for it. `user` is the user of the token that the client shows.
pub(crate) async fn fetch(
    node: &Node,
    text: &str,
    project: &ProjectId,
    user: Option<&UserId>,
) -> Result<MovedSession, ResumeError> {
    let sessions = node.resumable().ok_or(ResumeError::Off)?;
    let ticket = Ticket::read(text).ok_or(ResumeError::Forged)?;
    let _permit = sessions.moves.try_acquire().map_err(|_| ResumeError::Elsewhere)?;
    // Keeps a ticket that names no socket from occupying a call.
    let target = Target::Socket(ticket.session);
    if node.has_shared_store() && matches!(node.hub().store().count(project, &target).await, Ok(0)) {
        return Err(ResumeError::Expired);
    }
    let call = RemoteCall::HandOver { ticket: text.to_owned(), user: user.map(ToString::to_string) };
    let answer = remote::call(node, project, ticket.session, call, ANSWER_TIMEOUT).await;
    let Ok(Ok(answer)) = answer else { return Err(ResumeError::Elsewhere) };
    match answer.to() {
        Ok(Answer::Moved(session)) => Ok(*session),
        Ok(Answer::Refused(label)) => Err(ResumeError::of_label(&label)),
        Err(_) => Err(ResumeError::Elsewhere),
    }
}

/// Hands a session of this node over. Of several callers, here and on other nodes, one gets it.
pub(crate) async fn hand_over(node: &Node, text: &str, project: &ProjectId, user: Option<&str>) -> Payload {
    let answer = match try_hand_over(node, text, project, user).await {
        Ok(session) => Answer::Moved(Box::new(session)),
        Err(error) => Answer::Refused(error.label().to_owned()),
    };
    Payload::of(&answer).expect("texts and payloads are JSON")
}

async fn try_hand_over(
    node: &Node,
    text: &str,
    project: &ProjectId,
    user: Option<&str>,
) -> Result<MovedSession, ResumeError> {
    // Sessions of other protocols cannot move: their seats and client ids belong to a node.
    let claim: Claim = find(node, text, project, Protocol::Emit)?;
    if claim.user.as_deref().is_some_and(|of_token| user != Some(of_token)) {
        return Err(ResumeError::Token);
    }
    let detached: Detached = take_over(node, claim, Taker::OtherNode).await?;
    let session = detached.ending.session.clone();
    let replies = node.resumable().map(|sessions| sessions.take_replies(&session)).unwrap_or_default();
    let moved = MovedSession::of(node, &session, replies);
    end_moved(node, detached, CloseCode::RESTART.0);
    Ok(moved)
}
