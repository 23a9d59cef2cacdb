//! The points at which the node records steps of traced messages; the hub has others.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_backplane::{BackplaneError, Stored};
use switchboard_event::{Audience, Event, MessageNumber, ProjectId};
use switchboard_hub::{ReceiverOutcome, Session, TracePoint};

use super::record::TraceStep;
use super::tracer::describe;
use crate::node::Node;
use crate::node::connection_state::is_closed;
use crate::node::errors::Forbidden;

/// Records that a message was not sent, because its sender lacks a right, if it is traced or taken as a sample.
pub(crate) fn refused(
    node: &Node,
    project: &ProjectId,
    event: &Event,
    audience: &Audience,
    forbidden: &Forbidden,
) {
    let Some(trace) = event.trace.or_else(|| node.hub().sample(project, audience, event)) else { return };
    let message = describe(event, audience);
    let (right, resource) = (forbidden.right.to_string(), forbidden.resource.clone());
    node.tracer().add(trace, project, TraceStep::Refused { message, right, resource });
}

/// Records that a message is to be stored in inboxes.
pub(crate) fn storing(node: &Node, project: &ProjectId, event: &Event, audience: &Audience) {
    if let Some(trace) = event.trace {
        node.tracer().add(trace, project, TraceStep::Sent(describe(event, audience)));
    }
}

/// Records whether a message was stored in inboxes.
pub(crate) fn stored(
    node: &Node,
    project: &ProjectId,
    event: &Event,
    outcome: Result<&Stored, &BackplaneError>,
) {
    if let Some(trace) = event.trace {
        let step = match outcome {
            Ok(stored) => TraceStep::Stored { inboxes: stored.inboxes },
            Err(error) => TraceStep::NotStored { reason: error.to_string() },
        };
        node.tracer().add(trace, project, step);
    }
}

/// Records that a stored message is in the outbox of a socket of its user.
pub(crate) fn from_inbox(
    node: &Node,
    session: &Session,
    event: &Event,
    number: MessageNumber,
    frame: &Bytes,
    is_redelivery: bool,
) {
    if event.trace.is_some() {
        node.tracer().sent_from_inbox(session, event, number, is_redelivery);
        node.hub().watch(session, event, frame);
    }
}

/// Records that a stored message was not sent to a socket of its user, if the socket has no connection. A message that was sent
/// already needs no record.
pub(crate) fn not_from_inbox(node: &Node, session: &Arc<Session>, event: &Event) {
    if event.trace.is_none() {
        return;
    }
    let is_detached = || node.resumable().is_some_and(|sessions| sessions.detached_for(session).is_some());
    if is_closed(session) || is_detached() {
        let point = TracePoint::Receiver(session, ReceiverOutcome::Closed);
        node.hub().trace(&session.project.id, event, point);
    }
}
