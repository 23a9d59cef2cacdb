//! The protocol's own heartbeat.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_hub::Session;
use switchboard_wire::mesa::write_heartbeat;
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;
use crate::protocols::mesa::client_state::client_of;

/// Sends one heartbeat, or closes a client that has left too many unanswered. Returns false if it is
/// closed.
pub(crate) fn send_heartbeat(node: &Node, session: &Arc<Session>, attempts_max: u32) -> bool {
    let Some(client) = client_of(session) else { return false };
    let attempts = match client.has_answered.swap(false, Ordering::Relaxed) {
        true => 0,
        false => client.attempts.load(Ordering::Relaxed) + 1,
    };
    client.attempts.store(attempts, Ordering::Relaxed);
    if attempts > attempts_max {
        node.close(session, CloseCode::NO_STATUS, "");
        return false;
    }
    let tries = (attempts > 0).then_some((attempts, attempts_max));
    let frame = encode_with(OpCode::Text, 48, |out| write_heartbeat(out, tries));
    node.hub().deliver_ahead(session, &frame);
    true
}
