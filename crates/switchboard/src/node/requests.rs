//! Requests to clients of this node.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Name, OverflowPolicy, Payload};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::connection_state::{ConnectionState, PendingRequest};
use crate::node::errors::RequestError;

/// Sends a request to a client and waits for its reply.
pub(crate) async fn request(
    node: &Node,
    session: &Arc<Session>,
    timeout: Duration,
    event: &Name,
    data: &Payload,
) -> Result<Payload, RequestError> {
    let pending = PendingRequest::open(ConnectionState::of(session), node.limits().requests_pending_max)?;
    let frame = (node.encoders().request)(session.protocol, event, data, pending.id());
    let frame = frame.ok_or(RequestError::CannotReply)?;
    if !node.hub().deliver_frame(session, &frame, OverflowPolicy::Live) {
        return Err(RequestError::Closed);
    }
    pending.reply(timeout).await
}

/// Replies to a request of a client. The reply to a client without a connection is kept until it resumes its session.
pub(crate) fn reply(node: &Node, session: &Arc<Session>, ack: &Payload, data: &Payload) {
    if let Some(frame) = (node.encoders().reply)(session.protocol, ack, data)
        && !node.hub().deliver_frame(session, &frame, OverflowPolicy::Live)
        && let Some(sessions) = node.resumable()
    {
        sessions.keep_reply(session, &frame);
    }
}
