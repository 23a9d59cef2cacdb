//! The history of rooms: recent messages, numbered without holes.
//!
//! A message gets its number, is kept and is delivered in one step, so that members of all nodes receive the messages
//! of a room in the order of their numbers. The numbers belong to an [`Epoch`], which changes whenever the history may
//! have lost a message.

use std::sync::Weak;

use switchboard_event::{Epoch, Event, Position, ProjectId, RoomName, Target};

use crate::bus::Receiver;
use crate::future::{BackplaneFuture, BoxFuture};

/// Bounds of the history of one room. At a bound the oldest messages are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Messages; default 200.
    pub messages_max: u64,
    /// How long a message is kept, in milliseconds; default 5 minutes.
    pub age_max_ms: u64,
    /// Bytes of names and data; default 256 KiB. A message that is larger alone is numbered, but not kept.
    pub bytes_max: u64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits { messages_max: 200, age_max_ms: 5 * 60 * 1000, bytes_max: 256 * 1024 }
    }
}

/// A message to a room with a history.
#[derive(Debug, Clone, Copy)]
pub struct RoomMessage<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// The room.
    pub room: &'a RoomName,
    /// The members of these targets do not receive it.
    pub except: &'a [Target],
    /// The event.
    pub event: &'a Event,
}

impl RoomMessage<'_> {
    /// The bytes that count towards [`HistoryLimits::bytes_max`].
    pub fn size(&self) -> u64 {
        (self.event.name.len() + self.event.data.as_bytes().len()) as u64
    }
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The message has its position, and was passed to `deliver`.
    Delivered,
    /// The message will be numbered and published to all nodes, to this one too.
    Queued,
    /// The history is unavailable, and the message is not in it. The caller delivers it without a position.
    Unavailable,
}

/// A message in the history of a room.
#[derive(Debug, Clone)]
pub struct RecordedMessage {
    /// Its number.
    pub offset: u64,
    /// The targets that were excluded when it was sent.
    pub except: Vec<Target>,
    /// The event.
    pub event: Event,
}

/// The part of a history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryRange {
    /// The latest messages.
    Latest,
    /// The latest messages before this number.
    Before(u64),
    /// The oldest messages after this number.
    After(u64),
}

/// A part of the history of a room.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The version of the history.
    pub epoch: Epoch,
    /// The number of the latest message of the room; 0 if it has none yet.
    pub top: u64,
    /// The number of the oldest message that is kept; `top + 1` if none is.
    pub first: u64,
    /// The requested messages, oldest first.
    pub messages: Vec<RecordedMessage>,
}

impl HistoryPage {
    /// Returns true if the history still has every message after `position`.
    pub fn continues(&self, position: Position) -> bool {
        self.epoch == position.epoch
            && (self.first..=self.top + 1).contains(&(position.offset.saturating_add(1)))
    }

    /// The position of the latest message.
    pub fn top_position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top }
    }
}

/// The size of a history, and the number of rooms that it has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryUsage {
    /// Rooms with a history.
    pub rooms: usize,
    /// Bytes of messages and of their bookkeeping.
    pub bytes: usize,
    /// Rooms that were removed since the start because a bound on all rooms was reached.
    pub evicted_rooms: u64,
}

/// Keeps the recent messages of rooms. Every implementation passes the same contract tests.
pub trait History: Send + Sync + 'static {
    /// Called once by each node, before any other method. Messages with the outcome [`AppendOutcome::Queued`] are passed to
    /// `receiver` as [`Content::Event`](crate::Content::Event) with a position, in the order of their numbers.
    fn start(&self, _receiver: Weak<dyn Receiver>) {}

    /// Numbers a message and keeps it. Does not wait: the history either calls `deliver` before it returns, while no
    /// other message of the room can get a number, or it publishes the message later.
    fn append(
        &self,
        message: RoomMessage<'_>,
        limits: &HistoryLimits,
        deliver: &mut dyn FnMut(Position),
    ) -> AppendOutcome;

    /// Reads at most `limit` messages of a room, and where the history begins and ends. A room without a history gets
    /// one, without messages, so that the reader has a position.
    fn read<'a>(
        &'a self,
        project: &'a ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
        range: HistoryRange,
        limit: usize,
    ) -> BackplaneFuture<'a, HistoryPage>;

    /// The position of the latest message of a room.
    fn top<'a>(
        &'a self,
        project: &'a ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
    ) -> BackplaneFuture<'a, Position> {
        Box::pin(async move {
            let page = self.read(project, room, limits, HistoryRange::Latest, 0).await?;
            Ok(page.top_position())
        })
    }

    /// Calls `visit` with the position of the latest message of a room, while no other message of the room is numbered or
    /// delivered. Does not wait: returns false, without a call, if the position is not known at once. A room without a history
    /// gets one.
    fn with_top(&self, _project: &ProjectId, _room: &RoomName, _visit: &mut dyn FnMut(Position)) -> bool {
        false
    }

    /// Removes the history of a room. The next message begins an epoch.
    fn clear<'a>(&'a self, project: &'a ProjectId, room: &'a RoomName) -> BackplaneFuture<'a, ()>;

    /// Returns true if messages with the outcome [`AppendOutcome::Queued`] may be lost on their way to a node. The node then
    /// reads them from the history.
    fn has_holes(&self) -> bool {
        false
    }

    /// Frees expired messages and rooms. Called every 10 s.
    fn sweep(&self) {}

    /// The size of the history, as far as this node knows it.
    fn usage(&self) -> HistoryUsage {
        HistoryUsage::default()
    }

    /// Returns true while messages are numbered.
    fn is_up(&self) -> bool {
        true
    }

    /// Completes what is queued, so that a restart can continue. Later messages have no position. May block.
    fn close(&self) {}

    /// Resolves once every message that is queued has its number, or is known to have none.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_continues_if_nothing_after_it_is_lost() {
        let page = HistoryPage { epoch: Epoch(1), top: 9, first: 5, messages: Vec::new() };
        let continues = |epoch, offset| page.continues(Position { epoch: Epoch(epoch), offset });
        assert!((4..=9).all(|offset| continues(1, offset)));
        assert!(![0, 3, 10, u64::MAX].into_iter().any(|offset| continues(1, offset)));
        assert!(!continues(2, 9));
        let empty = HistoryPage { epoch: Epoch(1), top: 0, first: 1, messages: Vec::new() };
        assert!(empty.continues(Position { epoch: Epoch(1), offset: 0 }));
    }
}
