//! A message and its bound, as an outbox sees them, and what is reported of losses.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use switchboard_event::{Event, OverflowPolicy, Position, RoomName};

/// The properties of a message that an outbox needs.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) policy: &'a OverflowPolicy,
    pub(crate) event: Option<&'a Event>,
    /// The room, if the message was sent to exactly one.
    pub(crate) room: Option<&'a RoomName>,
    /// The place in the history of that room.
    pub(crate) position: Option<Position>,
}

impl<'a> Message<'a> {
    /// A frame that belongs to no room.
    pub(crate) fn with_policy(policy: &'a OverflowPolicy) -> Self {
        Message { policy, event: None, room: None, position: None }
    }
}

/// The bound of an outbox, and the counters of losses there.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) bytes_max: usize,
    /// The close frame for a socket with a full outbox.
    pub(crate) overflow_frame: &'a Bytes,
    pub(crate) dropped: &'a DroppedFrames,
}

/// Frames dropped at full outboxes since the hub was created, by the policy of their messages.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the variants of `OverflowPolicy` describe them")]
pub struct DroppedFrames {
    pub volatile: AtomicU64,
    pub latest: AtomicU64,
    pub oldest: AtomicU64,
}

impl DroppedFrames {
    /// Counts a queued frame that was dropped to make room.
    pub(super) fn count(&self, is_latest: bool) {
        let counter = if is_latest { &self.latest } else { &self.oldest };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a frame that was dropped in place of being queued.
    pub(super) fn count_new(&self, policy: &OverflowPolicy) {
        match policy {
            OverflowPolicy::Latest(_) => self.count(true),
            OverflowPolicy::Oldest => self.count(false),
            _ => drop(self.volatile.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Lost messages of one room, or of none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The room, if the messages were sent to exactly one.
    pub room: Option<RoomName>,
    /// How many messages.
    pub messages: u64,
}

/// A room in which a receiver lags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The room.
    pub room: RoomName,
    /// The receiver has, or will receive, all messages up to here.
    pub after: Position,
    /// The latest message that was not queued.
    pub skipped: Position,
}

/// The outcome of queueing a message from a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// It is queued; if true, the caller must schedule a flush.
    Queued(bool),
    /// The outbox has no room, or is paused.
    Full,
    /// The receiver does not lag in the room any more, or is gone.
    Ended,
}
