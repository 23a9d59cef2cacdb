//! Sessions that another node keeps when their node has died.

use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{ProjectId, ShardName, SocketId, Target};

/// The sessions of one node that can be resumed elsewhere.
pub trait LocalSessions: Send + Sync {
    /// What another node needs to resume a session, except for its memberships. It begins with the digest of its current
    /// ticket. `None` if the session has ended or cannot be resumed.
    fn record(&self, socket: SocketId) -> Option<Bytes>;

    /// Calls `visit` for each session that can be resumed.
    fn for_each_session(&self, visit: &mut dyn FnMut(&ProjectId, SocketId));
}

/// Bounds of the sessions of dead nodes that are kept.
#[derive(Debug, Clone, Copy)]
pub struct KeepSessions {
    /// How long each is kept after the end of its node.
    pub keep: Duration,
    /// How many are kept in a project.
    pub sessions_max: usize,
}

/// The places of a session that was taken from a dead node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenEntries {
    /// Its memberships.
    pub targets: Vec<Target>,
    /// The shard of its seat, and its description for other nodes.
    pub seat: Option<(ShardName, Bytes)>,
}

/// The state of a session of another node in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredSession {
    /// Its node holds it. With `is_reachable` the node receives publications.
    Held {
        /// The node is subscribed to the publications for its sockets.
        is_reachable: bool,
    },
    /// Its node has died. The record of the session.
    Detached(Bytes),
    /// It has ended, or was taken.
    Ended,
}
