//! Notices: events of the server that emit.gg does not have. Their names begin with `@`, and only clients that connect with `?sb=1`
//! receive them: original clients raise events of such names themselves.

use serde_json::json;
use std::sync::Arc;
use switchboard_event::{Name, Payload, Target};
use switchboard_hub::Session;

use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::connection_state::ConnectionState;
use crate::node::rates::Exceeded;
use crate::node::refused_event::RefusedEvent;
use crate::protocols::emit::encode;

/// Sends a notice, if the client understands notices.
pub(super) fn notify(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
    if ConnectionState::of(session).info.understands_extensions() {
        node.hub().deliver_ahead(session, &encode::notice(name, data));
    }
}

/// Refuses an event that exceeds a rate rule: by the reply to a request, or else by `@refused`.
pub(super) fn notify_exceeded(socket: &Socket, event: &Name, ack: Option<&Payload>, exceeded: Exceeded) {
    let Some(refused) = exceeded.refused(event) else { return };
    match ack {
        Some(ack) => socket.reply(ack, &members(&RefusedEvent { event: None, ..refused })),
        None => notify_refused(socket.node(), socket.session(), &refused),
    }
}

/// Notifies the client that an event without a reply was refused.
pub(super) fn notify_refused(node: &Node, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
    if ConnectionState::of(session).info.understands_extensions() {
        notify(node, session, "@refused", &members(refused));
    }
}

/// The members of an error reply, with the event if it is known.
fn members(refused: &RefusedEvent<'_>) -> Payload {
    let mut data = json!({ "error": refused.error, "code": refused.code });
    if let Some(ms) = refused.retry_after_ms {
        data["retry_after_ms"] = ms.into();
    }
    if let Some(event) = refused.event {
        data["event"] = event.into();
    }
    Payload::of(&data).expect("texts and numbers are JSON")
}

/// Notifies the client that its login has ended, and which rooms and tags it has left because it has lost rights.
pub(super) fn notify_left(node: &Node, session: &Arc<Session>, left: &[Target], reason: Lost) {
    if left.is_empty() && !reason.ends_login() {
        return;
    }
    let names = |is_room: bool| -> Vec<String> {
        let matching = left.iter().filter(|target| matches!(target, Target::Room(_)) == is_room);
        matching.map(ToString::to_string).collect()
    };
    let data = json!({ "rooms": names(true), "tags": names(false), "reason": reason.label() });
    notify(node, session, "@left", &Payload::of(&data).expect("strings are valid JSON"));
}
