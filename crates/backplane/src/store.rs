//! Presence and seats of all nodes.
//!
//! The hub reports every membership change to the store. Queries go to the store alone, so their results do
//! not depend on the number of nodes.

use std::future::ready;
use std::sync::Weak;

use bytes::Bytes;
use switchboard_event::{NodeId, ProjectId, RoomName, ShardName, SocketId, Target, UserId};

use crate::future::{BackplaneFuture, BoxFuture, reply};
use crate::local_members::LocalMembers;
use crate::seats::{SeatRequest, Seated, Shard};
use crate::sessions::{KeepSessions, LocalSessions, StoredSession, TakenEntries};

/// A part of a long list in ascending order.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Only entries greater than this one; none for the first page.
    pub after: Option<T>,
    /// The most entries.
    pub limit: usize,
}

impl<T> Page<T> {
    /// The whole list.
    pub fn all() -> Self {
        Page { after: None, limit: usize::MAX }
    }

    /// The first `limit` entries.
    pub fn first(limit: usize) -> Self {
        Page { after: None, limit }
    }
}

impl<T: Ord + Clone> Page<T> {
    /// Sorts an unordered list, removes duplicates, and returns this page of it.
    pub fn of(&self, mut list: Vec<T>) -> Vec<T> {
        if let Some(after) = &self.after {
            list.retain(|item| item > after);
        }
        list.sort_unstable();
        list.dedup();
        list.truncate(self.limit);
        list
    }
}

/// A node that shares the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLease {
    /// The node.
    pub node: NodeId,
    /// How long its lease still is, in ms; 0 if it has expired and its entries are about to be removed.
    pub left_ms: u64,
}

/// Holds presence and seats. Every implementation passes the same contract tests.
pub trait Store: Send + Sync + 'static {
    /// Called once, before any other method. The store reads the memberships of this node's sockets from `members` when it
    /// has to write all of them again.
    fn start(&self, _members: Weak<dyn LocalMembers>) {}

    /// A socket joined a target; with [`Target::Everyone`] it connected. Queues and returns.
    fn entered(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// A socket left a target; with [`Target::Everyone`] it disconnected. Queues and returns.
    fn left(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// How many sockets are in a target, over all nodes. For [`Target::Socket`], 1 if it exists.
    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> BackplaneFuture<'a, usize>;

    /// The sockets in a target, over all nodes.
    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> BackplaneFuture<'a, Vec<SocketId>>;

    /// How many users are online.
    fn count_users<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, usize>;

    /// The users that are online.
    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> BackplaneFuture<'a, Vec<UserId>>;

    /// The rooms with a member and with a name that begins with `prefix`, `#` included. Shards are rooms too.
    fn rooms<'a>(
        &'a self,
        project: &'a ProjectId,
        prefix: &'a str,
        page: Page<RoomName>,
    ) -> BackplaneFuture<'a, Vec<RoomName>>;

    /// The nodes that share the store, unordered. Empty if it belongs to one node.
    fn nodes(&self) -> BackplaneFuture<'_, Vec<NodeLease>> {
        reply(Vec::new())
    }

    /// Takes a seat on a shard. Atomic: concurrent requests never give an automatic shard more seats than its
    /// capacity. Each seat must be given back by one [`leave_seat`](Self::leave_seat).
    ///
    /// With a description the same step records presence; the matching calls of [`entered`](Self::entered) and
    /// [`describe`](Self::describe) then change nothing.
    fn take_seat<'a>(&'a self, project: &'a ProjectId, request: SeatRequest) -> BackplaneFuture<'a, Seated>;

    /// Gives a seat back. Queues and returns.
    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId);

    /// The shards with a taken seat, unordered.
    fn shards<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, Vec<Shard>>;

    /// Stores a socket's description for other nodes until its seat is given back. Queues and returns. A change
    /// is published as [`ShardChanged`](crate::Content::ShardChanged) to the nodes subscribed to the shard; an
    /// equal description is no change.
    fn describe(&self, _project: &ProjectId, _shard: &ShardName, _socket: SocketId, _description: Bytes) {}

    /// The descriptions of other nodes' sockets on a shard, unordered.
    fn descriptions<'a>(
        &'a self,
        _: &'a ProjectId,
        _shard: &'a ShardName,
    ) -> BackplaneFuture<'a, Vec<(SocketId, Bytes)>> {
        reply(Vec::new())
    }

    /// Called once if sessions outlive their connections: when this node has died, another node keeps those for which
    /// `sessions` has a record.
    fn keep_sessions(&self, _sessions: Weak<dyn LocalSessions>, _bounds: KeepSessions) {}

    /// The record of a session of this node is new, or has changed. Queues and returns; the record is read when it is
    /// written.
    fn record_changed(&self, _project: &ProjectId, _socket: SocketId) {}

    /// The state of a session of another node.
    fn session<'a>(&'a self, _: &'a ProjectId, _socket: SocketId) -> BackplaneFuture<'a, StoredSession> {
        // A store that does not know lets the node answer.
        reply(StoredSession::Held { is_reachable: true })
    }

    /// Takes a session of a dead node, if its record still is `record`. Of several callers, on any nodes, one gets its
    /// places; the others get `None`. The places remain until [`forget_session`](Self::forget_session).
    fn take_session<'a>(
        &'a self,
        _: &'a ProjectId,
        _socket: SocketId,
        _record: &'a [u8],
    ) -> BackplaneFuture<'a, Option<TakenEntries>> {
        reply(None)
    }

    /// Removes the places of a session that was taken, after all earlier changes of this node. Queues and returns.
    fn forget_session(&self, _: &ProjectId, _socket: SocketId) {}

    /// Completes when the node of a session has no lease any more and its sessions can be taken, or after a while. The lease
    /// of a node that receives no publications is ended early.
    fn node_ended<'a>(&'a self, _: &'a ProjectId, _: SocketId) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// Resolves once all changes of this node so far are visible to other nodes; at once while the store is
    /// disconnected.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Returns true while the store replies.
    fn is_up(&self) -> bool {
        true
    }
}
