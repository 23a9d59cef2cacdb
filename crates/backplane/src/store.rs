//! What nodes share: which sockets there are, and what they are in.
//!
//! The hub tells the store of every change; questions are asked of the store alone, so the answer
//! is the same on one node and on fifty.

use std::future::ready;
use std::sync::Weak;

use bytes::Bytes;
use switchboard_event::{ProjectId, ShardName, SocketId, Target, UserId};

use crate::future::{BoxFuture, StoreFuture, answer};
use crate::local_members::LocalMembers;
use crate::seats::{SeatRequest, Seated, Shard};

/// A part of a long list, in ascending order.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Only what comes after this one; none for the first page.
    pub after: Option<T>,
    /// At most so many.
    pub limit: usize,
}

impl<T> Page<T> {
    /// All there is.
    pub fn all() -> Self {
        Page { after: None, limit: usize::MAX }
    }

    /// The first `limit`.
    pub fn first(limit: usize) -> Self {
        Page { after: None, limit }
    }
}

impl<T: Ord + Clone> Page<T> {
    /// Cuts this page out of a list in any order; what is in it twice counts once.
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

/// Holds the facts that nodes share. Every implementation passes the same contract tests.
pub trait Store: Send + Sync + 'static {
    /// Called once, before anything else, with what the node itself knows.
    fn start(&self, _members: Weak<dyn LocalMembers>) {}

    /// A socket came into a target; for [`Target::Everyone`] it connected. Queues and returns.
    fn entered(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// A socket left a target; for [`Target::Everyone`] it closed. Queues and returns.
    fn left(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// How many sockets are in a target, over all nodes. For [`Target::Socket`], 1 if it exists.
    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> StoreFuture<'a, usize>;

    /// Which sockets are in a target, over all nodes.
    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> StoreFuture<'a, Vec<SocketId>>;

    /// How many users have a socket.
    fn count_users<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, usize>;

    /// Which users have a socket.
    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> StoreFuture<'a, Vec<UserId>>;

    /// Gives a socket a seat on a shard: one step, so that however many ask at the same time, no
    /// automatic shard gets more than its seats. Every seat is paid back by one
    /// [`leave_seat`](Self::leave_seat).
    ///
    /// The same step may write where the socket will be and what is known of it, if the wish says so. What
    /// then comes by [`entered`](Self::entered) and [`describe`](Self::describe) is no news.
    fn take_seat<'a>(&'a self, project: &'a ProjectId, wish: SeatRequest) -> StoreFuture<'a, Seated>;

    /// Takes a socket's seat back. Queues and returns.
    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId);

    /// The shards that somebody sits on, in no order.
    fn shards<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, Vec<Shard>>;

    /// Says what the other nodes may know of a socket that sits on a shard. Queues and returns. It is
    /// forgotten with the seat. Nodes that care for the shard hear
    /// [`ShardChanged`](crate::Content::ShardChanged) after every change; to say the same again is
    /// none.
    fn describe(&self, _project: &ProjectId, _shard: &ShardName, _socket: SocketId, _description: Bytes) {}

    /// What the other nodes say of their sockets on a shard, in no order.
    fn descriptions<'a>(
        &'a self,
        _: &'a ProjectId,
        _shard: &'a ShardName,
    ) -> StoreFuture<'a, Vec<(SocketId, Bytes)>> {
        answer(Vec::new())
    }

    /// When other nodes know everything that happened on this one by now. Comes at once while the
    /// store is away.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Whether it answers.
    fn is_up(&self) -> bool {
        true
    }
}
