//! Waiting for receivers of this node that are behind.

use std::time::{Duration, Instant};

use switchboard_hub::Session;
use tokio::time::sleep;

use crate::node::Node;
use crate::node::clock::now;

/// The divisor of the outbox's bound below which a receiver is no longer behind.
const CAUGHT_UP: usize = 4;

/// How often a waiting sender looks at a receiver. A fast receiver sends a quarter of its outbox in about 1 ms.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// Waits for a receiver, at most until `end`, and counts the time as its delay.
pub(super) async fn wait_for(node: &Node, receiver: &Session, end: Instant) {
    let limits = node.limits();
    let mut last = (now(), receiver.outbox.backlog());
    while last.0 < end && last.1.bytes > limits.outbox_bytes_max / CAUGHT_UP {
        sleep(CHECK_INTERVAL).await;
        let next = (now(), receiver.outbox.backlog());
        if !node.stalls.may_wait_longer(limits, receiver.id, last, next) {
            return;
        }
        last = next;
    }
}
