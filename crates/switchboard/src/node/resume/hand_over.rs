//! Sessions that move to another node. The node that holds a session checks its ticket, takes the session from its
//! connection, and answers with its contents, from which the other node makes a new session. If that node has died, the session
//! is taken from the store.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_backplane::StoredSession;
use switchboard_event::{Payload, ProjectId, Protocol, SocketId};
use switchboard_ws::CloseCode;

use super::detached::Detached;
use super::kept::{Wanted, take_kept};
use super::moved::MovedSession;
use super::take_over::{Claim, ResumeError, Taker, find, take_over};
use super::ticket::Ticket;
use crate::node::Node;
use crate::node::message::RemoteCall;
use crate::node::remote;
use crate::node::resume::end_moved;

/// How long to wait for the node that holds the session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a seat stays taken for its client that moves to another node.
const SEAT_MOVE_TIME: Duration = Duration::from_secs(1);

/// How long a client waits until a node that does not answer has come to its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer of the node that holds a session.
#[derive(Serialize, Deserialize)]
enum Answer {
    Moved(Box<MovedSession>),
    /// The label of a [`ResumeError`].
    Refused(String),
}

/// Returns true if a ticket names a session of another node.
pub(crate) fn is_of_another_node(node: &Node, text: &str) -> bool {
    Ticket::read(text).is_some_and(|ticket| remote::is_elsewhere(node, ticket.session))
}

/// Gets a session from its node or, if that has died, from the store.
pub(crate) async fn fetch(node: &Arc<Node>, wanted: Wanted<'_>) -> Result<MovedSession, ResumeError> {
    let sessions = node.resumable().ok_or(ResumeError::Off)?;
    let socket = Ticket::read(wanted.ticket).ok_or(ResumeError::Forged)?.session;
    if !node.has_shared_store() {
        return ask(node, wanted, socket).await.unwrap_or(Err(ResumeError::Elsewhere));
    }
    let store = node.hub().store();
    // A second look follows the end of the node, or its last answer.
    for _ in 0..2 {
        match store.session(wanted.project, socket).await.map_err(|_| ResumeError::Elsewhere)? {
            StoredSession::Detached(record) => return take_kept(node, wanted, socket, &record).await,
            StoredSession::Ended => return Err(ResumeError::Expired),
            StoredSession::Held { is_reachable } => {
                if is_reachable && let Some(answer) = ask(node, wanted, socket).await {
                    return answer;
                }
            }
        }
        let _permit = sessions.waits.try_acquire().map_err(|_| ResumeError::Elsewhere)?;
        let ended = store.node_ended(wanted.project, socket);
        tokio::time::timeout(END_TIMEOUT, ended).await.map_err(|_| ResumeError::Elsewhere)?;
    }
    Err(ResumeError::Elsewhere)
}

/// Asks the node of a session for it. `None` if it does not answer.
async fn ask(node: &Node, wanted: Wanted<'_>, socket: SocketId) -> Option<Result<MovedSession, ResumeError>> {
    let sessions = node.resumable()?;
    let Ok(_permit) = sessions.moves.try_acquire() else { return Some(Err(ResumeError::Elsewhere)) };
    let user = wanted.user.map(ToString::to_string);
    let protocol = wanted.protocol.index();
    let call = RemoteCall::HandOver { ticket: wanted.ticket.to_owned(), user, protocol };
    let answer = remote::call(node, wanted.project, socket, call, ANSWER_TIMEOUT).await.ok()?.ok()?;
    Some(match answer.to() {
        Ok(Answer::Moved(session)) => Ok(*session),
        Ok(Answer::Refused(label)) => Err(ResumeError::of_label(&label)),
        Err(_) => Err(ResumeError::Elsewhere),
    })
}

/// Hands a session of this node over. Of several callers, here and on other nodes, one gets it.
pub(crate) async fn hand_over(node: &Node, request: HandOver<'_>) -> Payload {
    let answer = match try_hand_over(node, request).await {
        Ok(session) => Answer::Moved(Box::new(session)),
        Err(error) => Answer::Refused(error.label().to_owned()),
    };
    Payload::of(&answer).expect("texts and payloads are JSON")
}

/// The request of another node for a session.
pub(crate) struct HandOver<'a> {
    pub(crate) ticket: &'a str,
    pub(crate) project: &'a ProjectId,
    /// The place of the client's protocol in [`Protocol::ALL`].
    pub(crate) protocol: usize,
    /// The user of the token that the client shows there.
    pub(crate) user: Option<&'a str>,
}

async fn try_hand_over(node: &Node, request: HandOver<'_>) -> Result<MovedSession, ResumeError> {
    let HandOver { ticket, project, protocol, user } = request;
    let protocol = *Protocol::ALL.get(protocol).ok_or(ResumeError::Foreign)?;
    let claim: Claim = find(node, ticket, project, protocol)?;
    if claim.user.as_deref().is_some_and(|of_token| user != Some(of_token)) {
        return Err(ResumeError::Token);
    }
    let mut detached: Detached = take_over(node, claim, Taker::OtherNode).await?;
    let session = detached.ending.session.clone();
    let replies = node.resumable().map(|sessions| sessions.take_replies(&session)).unwrap_or_default();
    let moved = MovedSession::of(node, &session, replies);
    if let Some(guard) = detached.ending.guard.take() {
        // The other node takes the seat first, so that nobody else gets it.
        node.tasks.spawn_service(async move {
            tokio::time::sleep(SEAT_MOVE_TIME).await;
            drop(guard);
        });
    }
    end_moved(node, detached, CloseCode::RESTART.0);
    Ok(moved)
}
