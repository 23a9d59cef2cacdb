//! Resume: a session outlives a connection that breaks, and the client takes it over with its ticket.
//!
//! A detached session stays in the hub with its rooms, tags, user and rights; its outbox refuses frames. It ends after
//! [`Resuming::keep`](options::Resuming::keep), or when somebody closes it.

mod detached;
pub(crate) mod hand_over;
pub(crate) mod kept;
pub(crate) mod moved;
pub(crate) mod options;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod seat;
pub(crate) mod session_state;
pub(crate) mod sessions;
pub(crate) mod take_over;
pub(crate) mod taken;
mod ticket;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_hub::Session;
use switchboard_ws::CloseCode;

use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::EndingSession;
use crate::node::reports::PendingReport;
use crate::node::system_events::SystemEvent;
use crate::node::{Node, inbox};
pub(crate) use detached::Detached;
use session_state::ResumeState;

/// Reason for the end of a session that another node has taken over.
const MOVED: &str = "the session has moved to another node";

/// How often expired sessions are ended.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// Removes a session from the node, and notifies the report sink and the `@disconnect` hooks.
pub(crate) fn end_session(node: &Node, ending: EndingSession, code: u16, reason: &str) {
    let EndingSession { session, guard, hooks } = ending;
    inbox::release(node, &session);
    // Made before the removal, because the hub then no longer knows the session's user.
    let report = PendingReport::of(node, &session, ClientAction::Disconnected { code });
    node.hub().remove(&session);
    node.token_bindings.lock().remove(session.id);
    ConnectionState::of(&session).mark_disconnected();
    report.into_iter().for_each(PendingReport::send);
    hooks.notify_session(SystemEvent::Disconnect, &session, &|| json!({ "code": code, "reason": reason }));
    drop(guard);
}

/// Keeps a session after its connection has broken. Gives it back if it ends with its connection: its client has no ticket,
/// too many sessions are kept, or the node stops.
pub(crate) fn detach(node: &Node, ending: EndingSession, code: u16) -> Result<(), EndingSession> {
    let session = ending.session.clone();
    let connection = ConnectionState::of(&session);
    let (Some(sessions), Some(state)) = (node.resumable(), connection.resume()) else { return Err(ending) };
    let is_stopping = || node.is_stopping.load(Ordering::Relaxed) && !state.is_moving();
    if !state.is_offered() || is_stopping() {
        return Err(ending);
    }
    let (hooks, seconds) = (ending.hooks.clone(), sessions.options.keep.as_secs());
    let had_token = node.token_bindings.lock().user(session.id).is_some();
    recovery::stop_awaiting(node, &session);
    sessions.insert(ending, had_token, code, now(), |session| {
        inbox::release(node, session);
        node.hub().detach(session);
        // Somebody may have closed it since the connection broke.
        connection.end_connection().filter(|code| ![CloseCode::ABNORMAL, CloseCode::RESTART].contains(code))
    })?;
    hooks.notify_session(SystemEvent::Detached, &session, &|| json!({ "code": code, "seconds": seconds }));
    state.notify_changed();
    // A stop that began meanwhile may have missed it.
    if is_stopping() {
        end_all(node);
    }
    Ok(())
}

/// Ends a session that was taken from the detached ones.
pub(crate) fn end_detached(node: &Node, detached: Detached, code: u16, reason: &str) {
    let session = detached.ending.session.clone();
    end_session(node, detached.ending, code, reason);
    if let Some(sessions) = node.resumable() {
        drop(sessions.take_replies(&session));
        sessions.ended.increment(1);
    }
}

/// Returns true if another node takes the session over: it waits until the session has lost its connection.
pub(crate) fn is_moving(session: &Session) -> bool {
    ConnectionState::of(session).resume().is_some_and(ResumeState::is_moving)
}

/// Ends a session that another node has taken over.
pub(crate) fn end_moved(node: &Node, detached: Detached, code: u16) {
    end_session(node, detached.ending, code, MOVED);
    if let Some(sessions) = node.resumable() {
        sessions.moved.increment(1);
    }
}

/// Ends all detached sessions, because the node stops.
pub(crate) fn end_all(node: &Node) {
    let Some(sessions) = node.resumable() else { return };
    while let Some(mut detached) = sessions.take_any() {
        let (code, reason) = (detached.code, std::mem::take(&mut detached.reason));
        end_detached(node, detached, code, &reason);
    }
}

/// Ends sessions that were closed, or not resumed in time.
pub(crate) async fn run_sweeps(node: Arc<Node>) {
    let Some(sessions) = node.resumable() else { return };
    loop {
        let _ = tokio::time::timeout(SWEEP_INTERVAL, sessions.closed()).await;
        while let Some(mut detached) = sessions.take_ended(now()) {
            let (code, reason) = (detached.code, std::mem::take(&mut detached.reason));
            end_detached(&node, detached, code, &reason);
        }
    }
}
