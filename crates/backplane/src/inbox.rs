//! Stored messages of users.
//!
//! Every message is stored first and delivered second, for online and offline users alike, and is removed when
//! a socket of its user acknowledges it. A message is therefore always stored or acknowledged, and a node that
//! crashes loses none.

use std::sync::Weak;

use switchboard_event::{Event, MessageNumber, ProjectId, SocketId, UserId};

use crate::bus::Receiver;
use crate::future::{BackplaneFuture, BoxFuture};

/// The outcome of storing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The number of the message.
    pub number: MessageNumber,
    /// How many inboxes store it. The others refused it: the project is at its bound, or the message alone is larger
    /// than a user's bound.
    pub inboxes: usize,
    /// How many older messages were removed: a full inbox keeps the latest.
    pub evicted: usize,
}

/// A message in an inbox.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its number.
    pub number: MessageNumber,
    /// The event to deliver.
    pub event: Event,
}

/// The reply to opening an inbox.
#[derive(Debug, Clone, Default)]
pub struct InboxPage {
    /// The requested messages, in order. Empty if another socket holds the inbox.
    pub messages: Vec<StoredMessage>,
    /// The other socket that holds the inbox.
    pub held_by: Option<SocketId>,
    /// With `held_by`, for a request from the beginning: the number of the oldest message. It changes when the
    /// holder acknowledges.
    pub oldest: Option<MessageNumber>,
}

/// Bounds of inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// Messages of one user; default 1,000. At the bound a new message replaces the oldest.
    pub messages_max: u64,
    /// Bytes of one user, names and data; default 1 MiB. At the bound a new message replaces the oldest ones. A message
    /// that is larger alone is not stored.
    pub bytes_max: u64,
    /// How long a message is stored, in milliseconds; default 30 days.
    pub age_max_ms: u64,
    /// Messages of all users of a project; default 1,000,000. At the bound new messages are not stored.
    pub project_messages_max: u64,
    /// Bytes of all users of a project; default 1 GiB. At the bound new messages are not stored.
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

/// Stores messages for users. Every implementation passes the same contract tests.
pub trait Inbox: Send + Sync + 'static {
    /// Called once, before any other method. The inbox passes each stored message to `receiver` as
    /// [`Content::Stored`](crate::Content::Stored), in number order, unless the node's bus delivers it.
    fn start(&self, _receiver: Weak<dyn Receiver>) {}

    /// Stores a message for some users, atomically for each, and delivers it to every node with a socket of
    /// theirs. A message that no inbox has space for is delivered all the same.
    ///
    /// Resolves when the message is durable. After an error it may be stored for some or all of them, so a
    /// retry may store it twice. A long list of users may be stored in parts, each with its own number; the
    /// last number is returned.
    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> BackplaneFuture<'a, Stored>;

    /// Returns the oldest `limit` messages of a user after `after`, in order. The socket must be known as the
    /// user's, so that later messages arrive live. From then on the socket holds the inbox until it releases
    /// it, disconnects, or the inbox is empty; other sockets get its id in [`InboxPage::held_by`].
    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> BackplaneFuture<'a, InboxPage>;

    /// Reads the oldest `limit` messages of a user after `after`, in order, without holding the inbox: nothing is
    /// delivered and nothing is removed.
    fn peek<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> BackplaneFuture<'a, Vec<StoredMessage>>;

    /// Removes messages that a socket of the user has received. Queues and returns; if the write is lost, the
    /// messages are redelivered.
    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>);

    /// Ends the socket's hold on the inbox. Queues and returns.
    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId);

    /// Removes all messages of a user.
    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> BackplaneFuture<'a, ()>;

    /// Returns true if backends that saw the user offline may still store messages shortly after the user
    /// connects. The node then reads the inbox once more.
    fn has_late_writers(&self) -> bool {
        false
    }

    /// Returns true while the inbox replies.
    fn is_up(&self) -> bool {
        true
    }

    /// Resolves once everything queued so far is written; at once while writing is impossible.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
