//! Taking a session over: the checks of a ticket, and the handover from the previous connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::counter;
use switchboard_event::{ProjectId, Protocol, UserId};
use switchboard_hub::Session;
use switchboard_ws::close::{CloseCode, close_frame};

use super::detached::Detached;
use super::sessions::state_of;
use crate::node::Node;
use crate::node::connection_state::{ConnectionState, is_closed};
use crate::node::resume::{MOVED, end_detached};

/// How long to wait until the previous connection, which the client has given up, has ended here.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a session is not resumed. The client gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// Sessions are not kept.
    Off,
    /// The ticket was not issued by this node for this project.
    Forged,
    /// The session has ended.
    Expired,
    /// The ticket was used before.
    Used,
    /// The session belongs to another protocol.
    Foreign,
    /// The token of the session is no longer valid, or the client has shown that of another user.
    Token,
    /// A hook refused it.
    Refused,
    /// It belongs to another node, which does not answer.
    Elsewhere,
}

/// The connection that takes a session over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taker {
    ThisNode,
    OtherNode,
}

impl ResumeError {
    pub(crate) fn label(self) -> &'static str {
        match self {
            ResumeError::Off => "off",
            ResumeError::Forged => "forged",
            ResumeError::Expired => "expired",
            ResumeError::Used => "used",
            ResumeError::Foreign => "foreign",
            ResumeError::Token => "token",
            ResumeError::Refused => "refused",
            ResumeError::Elsewhere => "elsewhere",
        }
    }

    /// The error with a label, as another node answers it.
    pub(super) fn of_label(label: &str) -> Self {
        use ResumeError::{Expired, Foreign, Forged, Off, Refused, Token, Used};
        let errors = [Off, Forged, Expired, Used, Foreign, Token, Refused];
        errors.into_iter().find(|error| error.label() == label).unwrap_or(ResumeError::Elsewhere)
    }

    pub(crate) fn count(self) {
        counter!("switchboard_resumes_refused_total", "reason" => self.label()).increment(1);
    }
}

/// A session with a ticket that was checked and not used yet.
pub(crate) struct Claim {
    session: Arc<Session>,
    epoch: u32,
    /// The user of the token with which the session is logged in.
    pub(crate) user: Option<UserId>,
}

/// Checks a ticket and finds its session, without using the ticket up.
pub(crate) fn find(
    node: &Node,
    text: &str,
    project: &ProjectId,
    protocol: Protocol,
) -> Result<Claim, ResumeError> {
    let sessions = node.resumable().ok_or(ResumeError::Off)?;
    let ticket = sessions.read(text, project).ok_or(ResumeError::Forged)?;
    let session = node.hub().index().session(ticket.session).filter(|session| !is_ending(session));
    let session = session.ok_or(ResumeError::Expired)?;
    if session.protocol != protocol {
        return Err(ResumeError::Foreign);
    }
    if state_of(&session).epoch() != ticket.epoch {
        return Err(ResumeError::Used);
    }
    let user = node.token_bindings.lock().user(session.id);
    Ok(Claim { session, epoch: ticket.epoch, user })
}

/// Uses the ticket up and takes the session. If the previous connection is still open here, it is aborted first. Of
/// several callers one succeeds.
pub(crate) async fn take_over(node: &Node, claim: Claim, taker: Taker) -> Result<Detached, ResumeError> {
    let Claim { session, epoch, user } = claim;
    let (sessions, state) = (node.resumable().ok_or(ResumeError::Off)?, state_of(&session));
    if !state.claim(epoch) {
        return Err(ResumeError::Used);
    }
    if taker == Taker::OtherNode {
        state.set_moving();
    }
    let handover = async {
        loop {
            let changed = state.changed();
            if let Some(detached) = sessions.take(session.id) {
                return Ok(detached);
            }
            if ConnectionState::of(&session).is_disconnected.load(Ordering::Relaxed) {
                return Err(ResumeError::Expired);
            }
            end_connection(node, &session, taker);
            changed.await;
        }
    };
    let detached =
        tokio::time::timeout(HANDOVER_TIMEOUT, handover).await.unwrap_or(Err(ResumeError::Expired))?;
    if detached.had_token && user.is_none() {
        end_detached(node, detached, CloseCode::POLICY.0, "the token of the session is no longer valid");
        return Err(ResumeError::Token);
    }
    sessions.resumed.increment(1);
    Ok(detached)
}

/// Ends the previous connection. A client that moves because this node goes away still reads from it; every other client
/// has given it up.
fn end_connection(node: &Node, session: &Arc<Session>, taker: Taker) {
    let is_leaving = node.drain.is_under_way() || node.is_stopping.load(Ordering::Relaxed);
    if taker == Taker::OtherNode && is_leaving {
        ConnectionState::of(session).record_close_code(CloseCode::RESTART);
        node.hub().close(session, close_frame(CloseCode::RESTART, MOVED));
    } else {
        ConnectionState::of(session).record_close_code(CloseCode::ABNORMAL);
        session.outbox.abort();
    }
}

/// Returns true if the session is being closed, for another reason than that its connection broke.
fn is_ending(session: &Session) -> bool {
    let is_broken = ConnectionState::of(session).close_code() == Some(CloseCode::ABNORMAL);
    is_closed(session) && !is_broken
}
