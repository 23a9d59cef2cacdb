//! Flow control: a sender waits for receivers that are behind.
//!
//! The hub reports receivers of which more than half of the outbox is full. The sender's connection is then not read
//! until less than a quarter is full, at most `limits.stall_max` at a time. A burst is therefore slowed to the speed of its
//! receivers instead of closing them. A receiver delays its senders for free while it reads at
//! `limits.receiver_bytes_per_s_min` or faster. [`Delays`](crate::node::delays::Delays) bounds the time for which a slower
//! one does.

pub(crate) mod between_nodes;
mod receivers;
pub(crate) mod window;
pub(crate) mod windows;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_event::SocketId;
use switchboard_hub::Session;

use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::flow_control::receivers::wait_for;
use crate::node::{Node, remote};

/// Makes a sender wait for receivers of this node that are behind. A sender of another node waits when its next mark arrives.
pub(crate) fn receivers_behind(node: &Node, sender: SocketId, receivers: Vec<Arc<Session>>) {
    let limits = node.limits();
    if limits.stall_max.is_zero() {
        return;
    }
    if remote::is_elsewhere(node, sender) {
        node.stalls.add(limits, sender, receivers);
        return;
    }
    let Some(session) = node.hub().index().session(sender) else { return };
    let state = ConnectionState::of(&session);
    if state.is_disconnected.load(Ordering::Relaxed) {
        return;
    }
    if node.stalls.add(limits, sender, receivers) {
        state.awaits_receivers.store(true, Ordering::Relaxed);
    }
}

/// Waits until the receivers of a sender have caught up, at most `limits.stall_max`.
pub(crate) async fn wait(node: &Arc<Node>, sender: &Session) {
    let began = now();
    let end = began + node.limits().stall_max;
    // Before the receivers are taken, since others may be added meanwhile.
    ConnectionState::of(sender).awaits_receivers.store(false, Ordering::Relaxed);
    for receiver in node.stalls.take(sender.id) {
        wait_for(node, &receiver, end).await;
    }
    between_nodes::wait(node, sender, end).await;
    node.meters().of(sender.protocol).record_stall(now() - began);
}

/// Forgets what a connection that has ended waits for.
pub(crate) fn forget(node: &Node, sender: &Session) {
    if ConnectionState::of(sender).awaits_receivers.load(Ordering::Relaxed) {
        drop(node.stalls.take(sender.id));
    }
    if !node.is_single_node() {
        node.windows.forget(sender.id);
    }
}
