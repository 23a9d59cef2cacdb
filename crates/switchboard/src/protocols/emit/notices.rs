//! Events of the server itself. Their names begin with `@`, and only clients that connect with `?sb=1` receive them:
//! original clients raise events of such names themselves.

use serde_json::json;
use std::sync::Arc;
use switchboard_event::{Payload, Target};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::connection_state::ConnectionState;
use crate::protocols::emit::encode;

/// Sends an event of the server, if the client understands it.
pub(super) fn notify(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
    if ConnectionState::of(session).info.understands_extensions() {
        node.hub().deliver_ahead(session, &encode::notice(name, data));
    }
}

/// Tells the client which rooms and tags it has left, because it has lost rights.
pub(super) fn notify_left(node: &Node, session: &Arc<Session>, left: &[Target], reason: Lost) {
    if left.is_empty() {
        return;
    }
    let names = |is_room: bool| -> Vec<String> {
        let matching = left.iter().filter(|target| matches!(target, Target::Room(_)) == is_room);
        matching.map(ToString::to_string).collect()
    };
    let data = json!({ "rooms": names(true), "tags": names(false), "reason": reason.label() });
    notify(node, session, "@left", &Payload::of(&data).expect("strings are valid JSON"));
}
