//! Messages that wait for users: what whoever keeps them has to do.
//!
//! Every message is kept before it is sent, whoever is online, and until one of its user's sockets
//! surely has it. So there is no moment in which it is neither kept nor delivered, and a node that
//! dies takes none with it.

use std::sync::Weak;

use switchboard_event::{Event, MessageNumber, ProjectId, SocketId, UserId};

use crate::bus::Receiver;
use crate::future::{BoxFuture, StoreFuture};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: MessageNumber,
    /// In how many inboxes it is. In the others there is no room: the project is full.
    pub inboxes: usize,
    /// How many older messages gave way: an inbox that is full keeps its latest.
    pub evicted: usize,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its number.
    pub number: MessageNumber,
    /// What its user is to hear.
    pub event: Event,
}

/// An inbox that was asked for.
#[derive(Debug, Clone, Default)]
pub struct InboxPage {
    /// What waits, in order.
    pub messages: Vec<StoredMessage>,
    /// The socket that has the inbox, if that is another one; then there are no messages.
    pub held_by: Option<SocketId>,
    /// Then, if what waits was asked for from its beginning: the number of the oldest. It changes when that
    /// socket has confirmed something.
    pub oldest: Option<MessageNumber>,
}

/// How much may wait. What is at a bound is counted by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// Messages for one user; default 1,000. The oldest gives way.
    pub messages_max: u64,
    /// Bytes for one user, names and data; default 1 MiB. The oldest give way; a message that is
    /// larger alone is not kept.
    pub bytes_max: u64,
    /// How long a message waits at the most, in milliseconds; default 30 days.
    pub age_max_ms: u64,
    /// Messages for all users of a project; default 1,000,000. New ones are not kept.
    pub project_messages_max: u64,
    /// Bytes for all users of a project; default 1 GiB. New ones are not kept.
    pub project_bytes_max: u64,
}

impl Default for InboxLimits {
    fn default() -> Self {
        InboxLimits {
            messages_max: 1000,
            bytes_max: 1024 * 1024,
            age_max_ms: 30 * 24 * 60 * 60 * 1000,
            project_messages_max: 1_000_000,
            project_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// Keeps messages for users. Every implementation passes the same contract tests.
pub trait Inbox: Send + Sync + 'static {
    /// Called once, before anything else. Messages are handed to `receiver` as
    /// [`Content::Stored`](crate::Content::Stored), in the order of their numbers, when they are
    /// kept; unless the node's bus brings them anyway.
    fn start(&self, _receiver: Weak<dyn Receiver>) {}

    /// Keeps a message for some users, in one step for each, and has all nodes with a socket of
    /// theirs hear it. A message that finds no room is heard all the same. Answers when it is as durable
    /// as it gets; after an error it may be kept for some or all of them, and putting it again may keep it
    /// twice. A long list of users may be kept in parts, each with a number; the last one is answered.
    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> StoreFuture<'a, Stored>;

    /// The oldest `most` messages of a user that come after another, in order. What is put from now on
    /// is heard live, if the socket is known to be the user's. From then on the socket has the inbox,
    /// until it gives it back, is gone, or nothing waits: another one that asks meanwhile is told who has it.
    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> StoreFuture<'a, InboxPage>;

    /// A socket of the user surely has these: they wait no more. Queues and returns; what is not
    /// written is delivered again.
    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>);

    /// Gives back what the socket has opened. Queues and returns.
    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId);

    /// Drops all that waits for a user.
    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> StoreFuture<'a, ()>;

    /// Whether messages for a user who has come may still be on their way from backends that looked
    /// before and put them in later; so that it is worth to look again shortly after.
    fn has_late_writers(&self) -> bool {
        false
    }

    /// Whether it answers.
    fn is_up(&self) -> bool {
        true
    }

    /// When everything that was queued before is written. Comes at once while it cannot be.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
