//! After a gap in the publications of other nodes: messages that were stored meanwhile were not
//! delivered, though their users are online.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::conn::Conn;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;

/// Sockets that are redelivered to at a time.
const AT_ONCE: usize = 32;

/// Redelivers the inboxes of all users of this node. A further gap starts this anew.
pub(crate) fn redeliver_after_gap(node: &Arc<Node>) {
    if node.inbox().is_none() {
        return;
    }
    let turn = node.gaps.fetch_add(1, Ordering::Relaxed) + 1;
    let (node, sessions) = (node.clone(), node.hub().index().all_sessions());
    node.tasks.clone().spawn_service(async move {
        let redeliver = async |session| {
            if node.gaps.load(Ordering::Relaxed) == turn {
                redeliver_to(&node, &session).await;
            }
        };
        stream::iter(sessions).for_each_concurrent(AT_ONCE, redeliver).await;
    });
}

async fn redeliver_to(node: &Arc<Node>, session: &Arc<Session>) {
    if session.outbox.is_closing() || Conn::of(session).deliveries_if_any().is_none() {
        return;
    }
    for user in session.users() {
        if let Some(paused) = PausedOutbox::begin(node, session) {
            Backlog::new(paused, user).redeliver_now().await;
        }
    }
}
