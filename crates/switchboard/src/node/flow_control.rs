//! Flow control: a sender waits for receivers that are behind.
//!
//! The hub reports receivers of which more than half of the outbox is full. The sender's connection is then not read
//! until less than a quarter is full, at most `limits.stall_max` at a time. A burst is therefore slowed to the speed of its
//! receivers instead of closing them. A receiver delays its senders for free while it reads at
//! `limits.receiver_bytes_per_s_min` or faster. [`Delays`](crate::node::delays::Delays) bounds the time for which a slower
//! one does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use switchboard_event::SocketId;
use switchboard_hub::Session;
use tokio::time::sleep;

use crate::node::Node;
use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;

/// The divisor of the outbox's bound below which a receiver is no longer behind.
const CAUGHT_UP: usize = 4;

/// How often a waiting sender looks at a receiver. A fast receiver sends a quarter of its outbox in about 1 ms.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// Makes a sender of this node wait for receivers that are behind.
pub(crate) fn receivers_behind(node: &Node, sender: SocketId, receivers: Vec<Arc<Session>>) {
    let limits = node.limits();
    let Some(session) = node.hub().index().session(sender) else { return };
    let state = ConnectionState::of(&session);
    if limits.stall_max.is_zero() || state.is_disconnected.load(Ordering::Relaxed) {
        return;
    }
    if node.stalls.add(limits, sender, receivers) {
        state.awaits_receivers.store(true, Ordering::Relaxed);
    }
}

/// Waits until the receivers of a sender have caught up, at most `limits.stall_max`.
pub(crate) async fn wait(node: &Node, sender: &Session) {
    let began = now();
    // Before the receivers are taken, since others may be added meanwhile.
    ConnectionState::of(sender).awaits_receivers.store(false, Ordering::Relaxed);
    for receiver in node.stalls.take(sender.id) {
        wait_for(node, &receiver, began).await;
    }
    node.meters().of(sender.protocol).record_stall(now() - began);
}

/// Waits for a receiver. The sender has waited since `began`.
async fn wait_for(node: &Node, receiver: &Session, began: Instant) {
    let limits = node.limits();
    let mut last = (now(), receiver.outbox.backlog());
    while last.0 - began < limits.stall_max && last.1.bytes > limits.outbox_bytes_max / CAUGHT_UP {
        sleep(CHECK_INTERVAL).await;
        let next = (now(), receiver.outbox.backlog());
        if !node.stalls.may_wait_longer(limits, receiver.id, last, next) {
            return;
        }
        last = next;
    }
}

/// Forgets the receivers of a connection that has ended.
pub(crate) fn forget(node: &Node, sender: &Session) {
    if ConnectionState::of(sender).awaits_receivers.load(Ordering::Relaxed) {
        drop(node.stalls.take(sender.id));
    }
}
