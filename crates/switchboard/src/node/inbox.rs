//! The inbox: messages that are stored for users, delivered to online users, redelivered at login, and
//! deleted when a client acknowledges them.

pub(crate) mod backlog;
pub(crate) mod deliveries;
pub(crate) mod gap;
mod holder;
pub(crate) mod paused;
mod redelivery;
mod reread;

use std::sync::Arc;

use switchboard_event::{Audience, Event, MessageNumber, OverflowPolicy, Parcel, ProjectId, Target, UserId};
use switchboard_hub::{JoinError, Session, TracePoint};

use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;
use crate::node::trace::points::{from_inbox, not_from_inbox};

/// Delivers a newly stored message to its users' sockets on this node.
pub(crate) fn deliver_stored(
    node: &Node,
    project: &ProjectId,
    audience: &Audience,
    number: MessageNumber,
    event: Event,
) {
    let (hub, encode) = (node.hub(), node.encoders().event);
    hub.trace(project, &event, TracePoint::Received(&event, audience));
    let parcel = Parcel::new(event, OverflowPolicy::Live);
    for target in &audience.to {
        let Target::User(user) = target else { continue };
        for session in hub.members(project, &target.clone().into()) {
            let frame =
                parcel.frame(session.protocol, false, |event, _| encode(session.protocol, event, None));
            let Some(frame) = frame else { continue };
            if ConnectionState::of(&session).deliveries().deliver_live(hub, &session, user, number, frame) {
                from_inbox(node, &session, &parcel.event, number, frame, false);
            } else {
                not_from_inbox(node, &session, &parcel.event);
            }
        }
    }
}

/// Logs a socket in as a user and redelivers the user's inbox to it. Returns false if it was logged in as
/// this user already.
pub(crate) fn log_in(node: &Arc<Node>, session: &Arc<Session>, user: &UserId) -> Result<bool, JoinError> {
    let paused = PausedOutbox::begin(node, session);
    let is_new = node.hub().join(session, &Target::User(user.clone()))?;
    if let Some(paused) = paused.filter(|_| is_new) {
        Backlog::new(paused, user.clone()).start();
    }
    Ok(is_new)
}

/// Logs a socket out of a user and ends a redelivery to it. Its unacknowledged messages can be redelivered
/// to the user's other sockets. Returns false if it was not logged in as this user.
pub(crate) fn log_out(node: &Node, session: &Arc<Session>, user: &UserId) -> bool {
    let was_member = node.hub().leave(session, &Target::User(user.clone()));
    if was_member
        && let (Some(inbox), Some(deliveries)) =
            (node.inbox(), ConnectionState::of(session).deliveries_if_any())
    {
        deliveries.stop(user);
        inbox.release(&session.project.id, user, session.id);
    }
    was_member
}

/// Acknowledges the messages that a client's pong covers. Returns false if it covers none.
pub(crate) fn acknowledge(node: &Node, session: &Arc<Session>, pong: &[u8]) -> bool {
    let (Some(inbox), Some(deliveries)) = (node.inbox(), ConnectionState::of(session).deliveries_if_any())
    else {
        return false;
    };
    let mut messages = deliveries.take_acknowledged(node.hub(), session, pong).into_iter().peekable();
    let is_acknowledgement = messages.peek().is_some();
    while let Some((user, number)) = messages.next() {
        let mut numbers = vec![number];
        while let Some((_, number)) = messages.next_if(|(other, _)| *other == user) {
            numbers.push(number);
        }
        numbers.iter().for_each(|number| node.tracer().acknowledged(session, &user, *number));
        inbox.acknowledge(&session.project.id, &user, numbers);
    }
    deliveries.notify_acknowledged();
    is_acknowledgement
}

/// Ends the redeliveries to a closed socket. Its unacknowledged messages can be redelivered to the users'
/// other sockets.
pub(crate) fn release(node: &Node, session: &Session) {
    if let (Some(inbox), Some(deliveries)) = (node.inbox(), ConnectionState::of(session).deliveries_if_any())
    {
        deliveries.close();
        for user in session.users() {
            inbox.release(&session.project.id, &user, session.id);
        }
    }
}

/// Redelivers the inboxes of a resumed session's users: what it received last was perhaps not read.
pub(crate) fn reopen(node: &Arc<Node>, session: &Arc<Session>) {
    let Some(deliveries) = ConnectionState::of(session).deliveries_if_any() else { return };
    deliveries.reopen();
    for user in session.users() {
        if let Some(paused) = PausedOutbox::begin(node, session) {
            Backlog::new(paused, user).start();
        }
    }
}
