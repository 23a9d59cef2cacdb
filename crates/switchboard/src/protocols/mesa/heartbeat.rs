//! The heartbeat messages of the Mesa protocol.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_hub::{Session, Slot};
use switchboard_wire::mesa::write_heartbeat;
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;
use crate::protocols::mesa::client_state::client_of;

/// Sends a heartbeat. If too many heartbeats are unanswered, closes the client instead and returns false.
pub(crate) fn send_heartbeat(node: &Node, session: &Arc<Session>, attempts_max: u32) -> bool {
    let Some(client) = client_of(session) else { return false };
    let unanswered = match client.has_answered.swap(false, Ordering::Relaxed) {
        true => 0,
        false => client.unanswered.load(Ordering::Relaxed) + 1,
    };
    client.unanswered.store(unanswered, Ordering::Relaxed);
    if unanswered > attempts_max {
        node.close(session, CloseCode::NO_STATUS, "");
        return false;
    }
    let attempt = (unanswered > 0).then_some((unanswered, attempts_max));
    let frame = encode_with(OpCode::Text, 48, |out| write_heartbeat(out, attempt));
    node.hub().deliver_latest([session], &frame, Slot::Probe);
    true
}
