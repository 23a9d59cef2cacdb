//! The moment at which a client enters its shard's member list: after it has read CONNECTED.
//!
//! Apps add their listener for member lists once `connect()` has resolved, which CONNECTED causes. Node delivers
//! all frames of one read before the app runs again, so a list in the same read would come before the listener.
//! For this reason a ping follows CONNECTED, and the client enters the list, and receives it, after its pong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::SocketId;
use switchboard_hub::Session;
use switchboard_ws::frame::{OpCode, encode};

use crate::node::Node;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_lists::MemberLists;

/// Payload of the ping behind CONNECTED.
const PING: &[u8] = b"connected";

/// How long a client may take for the pong. Afterwards it enters the list without.
const PONG_TIMEOUT: Duration = Duration::from_millis(500);

/// The ping behind CONNECTED.
pub(crate) fn ping() -> Bytes {
    encode(OpCode::Ping, PING)
}

/// Enters the client into its member list if this pong answers the [`ping`].
pub(crate) fn received_pong(node: &Arc<Node>, session: &Arc<Session>, payload: &[u8]) {
    if payload == PING {
        enter(node, session);
    }
}

/// Enters a client into its member list after the time-out. Has no effect if it has entered by then.
pub(crate) fn start_timeout(node: &Arc<Node>, client: SocketId) {
    let this = node.clone();
    node.tasks.spawn_service(async move {
        tokio::time::sleep(PONG_TIMEOUT).await;
        if let Some(session) = this.hub().index().session(client) {
            enter(&this, &session);
        }
    });
}

fn enter(node: &Arc<Node>, session: &Arc<Session>) {
    let client = client_of(session).expect("every socket of this protocol has this state");
    node.extension::<MemberLists>().join(node, client, session);
}
