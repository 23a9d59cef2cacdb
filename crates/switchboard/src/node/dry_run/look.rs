//! What one node knows of a planned message.

use std::sync::Arc;

use switchboard_event::{Audience, Event, Name, Payload, ProjectId, Resource, Right, Target};
use switchboard_hub::Session;

use super::view::{NodeView, Planned, Prospect, SenderView, SocketView};
use crate::node::trace::tracer::recipient;
use crate::node::{Node, access, membership};

/// Most sockets that a node describes.
const SOCKETS_MAX: usize = 100;

/// Describes this node's sockets of the audience. `None` if a name is invalid.
pub(crate) fn look(node: &Node, project: &ProjectId, planned: &Planned) -> Option<NodeView> {
    let (target, name) = (planned.target().ok()?, Name::new(&planned.event).ok()?);
    let event = Event { name, data: Payload::NULL, sender: planned.sender, time_ms: 0, trace: None };
    let audience = Audience::from(target.clone());
    let members = match &planned.user {
        None => node.hub().members(project, &audience),
        Some(user) => node.hub().members(project, &Target::user(user).ok()?.into()),
    };
    let view = |session: &Arc<Session>| SocketView {
        recipient: recipient(session),
        prospect: prospect(node, session, &target, &event),
    };
    let sender = planned.sender.and_then(|id| membership::session(node, project, id));
    Some(NodeView {
        node: node.hub().bus().node().to_string(),
        sockets: members.iter().take(SOCKETS_MAX).map(view).collect(),
        total: members.len(),
        sender: sender.map(|session| SenderView {
            may_send: access::may(node, &session, Right::Send, Resource::from(&target)),
        }),
    })
}

fn prospect(node: &Node, session: &Session, target: &Target, event: &Event) -> Prospect {
    let is_member = match target {
        Target::Everyone => true,
        Target::Socket(id) => session.id == *id,
        other => session.is_member(other),
    };
    if !is_member {
        return Prospect::NotMember;
    }
    if event.sender == Some(session.id) {
        return Prospect::Sender;
    }
    if let Some(since) = node.resumable().and_then(|sessions| sessions.detached_for(session)) {
        return Prospect::Detached { since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) };
    }
    if session.outbox.is_closing() {
        return Prospect::Closing;
    }
    if (node.encoders().reserves)(session.protocol, event) {
        return Prospect::Reserved;
    }
    if session.outbox.is_paused() {
        return Prospect::HeldBack;
    }
    let is_behind = session.outbox.bounded_bytes() > node.limits().outbox_bytes_max / 2;
    if is_behind { Prospect::Behind } else { Prospect::Receives }
}
