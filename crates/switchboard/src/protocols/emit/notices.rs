//! Notices: events of the server that emit.gg does not have. Their names begin with `@`, and only clients that connect with `?sb=1`
//! receive them: original clients raise events of such names themselves.

use serde_json::json;
use std::sync::Arc;
use switchboard_event::{Name, Payload, RateAction, Target};
use switchboard_hub::Session;

use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::connection_state::ConnectionState;
use crate::node::rates::Exceeded;
use crate::protocols::emit::encode;

/// Sends a notice, if the client understands notices.
pub(super) fn notify(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
    if ConnectionState::of(session).info.understands_extensions() {
        node.hub().deliver_ahead(session, &encode::notice(name, data));
    }
}

/// Refuses an event that exceeds a rate rule: by the reply to a request, or else by `@refused`.
pub(super) fn notify_exceeded(socket: &Socket, event: &Name, ack: Option<&Payload>, exceeded: Exceeded) {
    if exceeded.action != RateAction::Refuse {
        return;
    }
    let error = exceeded.error;
    let mut data = json!({ "error": error.to_string(), "code": "rate_limited", "retry_after_ms": error.retry_after_ms() });
    match ack {
        Some(ack) => socket.reply(ack, &Payload::of(&data).expect("texts and numbers are JSON")),
        None => {
            data["event"] = event.as_str().into();
            let data = Payload::of(&data).expect("texts and numbers are JSON");
            notify(socket.node(), socket.session(), "@refused", &data);
        }
    }
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
