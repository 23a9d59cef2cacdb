//! Redelivery after a gap in the publications of other nodes: messages that were stored during the gap were
//! not delivered to online users.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;

/// Maximum number of sockets that are redelivered to at the same time.
const CONCURRENCY: usize = 32;

/// Redelivers the inboxes of all users that are online on this node. Another gap restarts it.
pub(crate) fn redeliver_after_gap(node: &Arc<Node>) {
    if node.inbox().is_none() {
        return;
    }
    let gap = node.gaps.fetch_add(1, Ordering::Relaxed) + 1;
    let (node, sessions) = (node.clone(), node.hub().index().all_sessions());
    node.tasks.clone().spawn_service(async move {
        let redeliver = async |session| {
            if node.gaps.load(Ordering::Relaxed) == gap {
                redeliver_to(&node, &session).await;
            }
        };
        stream::iter(sessions).for_each_concurrent(CONCURRENCY, redeliver).await;
    });
}

async fn redeliver_to(node: &Arc<Node>, session: &Arc<Session>) {
    if session.outbox.is_closing() || ConnectionState::of(session).deliveries_if_any().is_none() {
        return;
    }
    for user in session.users() {
        if let Some(paused) = PausedOutbox::begin(node, session) {
            Backlog::new(paused, user).redeliver_now().await;
        }
    }
}
