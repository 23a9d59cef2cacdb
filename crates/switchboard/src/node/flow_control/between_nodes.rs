//! Flow control between nodes: a sender waits for receivers of other nodes that are behind.
//!
//! The sender's node counts what it passes to other nodes in a [`Window`](super::window::Window) of the sender. When half of
//! it is used, the node publishes a mark behind it. A node that receives the mark answers it once its receivers of that
//! sender have caught up. While the window is full the sender is not read, at most `limits.stall_max` at a time. Volatile
//! events are not counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use switchboard_event::{ProjectId, SocketId, Target};
use switchboard_hub::{Session, Stage};
use tokio::time::timeout;

use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::flow_control::receivers::wait_for;
use crate::node::flow_control::windows::Wait;
use crate::node::message::NodeMessage;
use crate::node::{Node, remote};

/// Counts an event that this node passes to other nodes.
pub(crate) fn passed(node: &Arc<Node>, sender: SocketId, bytes: usize, stage: Stage) {
    let limits = node.limits();
    if limits.stall_max.is_zero() {
        return;
    }
    let next = node.windows.passed(sender, bytes, stage, limits.outbox_bytes_max, now());
    if next.mark.is_none() && !next.is_full {
        return;
    }
    let Some(session) = node.hub().index().session(sender) else { return node.windows.forget(sender) };
    if let Some(number) = next.mark {
        publish_mark(node, &session.project.id, sender, number);
    }
    let state = ConnectionState::of(&session);
    if next.is_full && !state.is_disconnected.load(Ordering::Relaxed) {
        state.awaits_receivers.store(true, Ordering::Relaxed);
    }
}

/// Waits until the window of a sender is open, at most until `end`.
pub(super) async fn wait(node: &Arc<Node>, sender: &Session, end: Instant) {
    let project = &sender.project.id;
    loop {
        let full = match node.windows.wait(sender.id, node.limits().outbox_bytes_max, now()) {
            Wait::Open => return,
            Wait::Mark(number) => {
                publish_mark(node, project, sender.id, number);
                continue;
            }
            Wait::Full(full) => full,
        };
        if timeout(end.saturating_duration_since(now()), full).await.is_err() {
            give_up(node, project, sender.id);
            return;
        }
    }
}

fn give_up(node: &Node, project: &ProjectId, sender: SocketId) {
    let now = now();
    let Some(before) = now.checked_sub(node.limits().stall_max) else { return };
    let missing = node.windows.give_up(project, sender, before, now);
    node.meters().unanswered_marks.increment(missing as u64);
}

fn publish_mark(node: &Arc<Node>, project: &ProjectId, sender: SocketId, number: u64) {
    let (weak, counted_project) = (Arc::downgrade(node), project.clone());
    let on_counted = move |nodes| {
        if let Some(node) = weak.upgrade() {
            node.windows.counted(&counted_project, sender, number, nodes);
        }
    };
    let mark = NodeMessage::Mark { sender, number };
    if remote::publish_counted(node, project, &Target::Everyone.into(), &mark, Box::new(on_counted)).is_err()
    {
        // The events before the mark are lost as well, so no node has anything to confirm.
        node.windows.counted(project, sender, number, None);
    }
}

/// Answers a mark of another node, once the receivers of this node have caught up.
pub(crate) fn marked(node: &Arc<Node>, project: &ProjectId, sender: SocketId, number: u64) {
    let receivers: Vec<Arc<Session>> = node.stalls.take(sender).collect();
    if receivers.is_empty() {
        return remote::confirm_mark(node, project, sender, number);
    }
    // The answer arrives before the sender's node gives it up.
    let end = now() + node.limits().stall_max.mul_f64(0.875);
    let (node, project) = (node.clone(), project.clone());
    node.tasks.clone().try_spawn_service(async move {
        for receiver in receivers {
            wait_for(&node, &receiver, end).await;
        }
        remote::confirm_mark(&node, &project, sender, number);
    });
}
