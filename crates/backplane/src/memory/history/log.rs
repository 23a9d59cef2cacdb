//! The log of one room: its messages in order, the oldest of which have been removed.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use switchboard_event::{Epoch, Event, Position, Target};

use crate::history::{HistoryLimits, HistoryPage, HistoryRange, RecordedMessage, RoomMessage};

/// Estimated bytes of a message besides its name and data, and of an excluded target besides its name.
const MESSAGE_BYTES: usize = size_of::<Message>() + 64;
const TARGET_BYTES: usize = size_of::<Target>() + 16;

/// The log of a room, and when it was last used.
pub(super) struct RoomLog {
    /// Milliseconds since 1970.
    pub(super) used_ms: AtomicU64,
    pub(super) log: Mutex<Log>,
}

impl RoomLog {
    /// Estimated bytes of a log without messages, its key included.
    pub(super) const BYTES: usize = size_of::<RoomLog>() + 128;

    pub(super) fn new(now_ms: u64) -> Self {
        RoomLog { used_ms: AtomicU64::new(now_ms), log: Mutex::new(Log::new()) }
    }
}

pub(super) struct Log {
    epoch: Epoch,
    /// The number of the latest message.
    top: u64,
    messages: VecDeque<Message>,
    /// Bytes that count towards the bound of the room.
    size: u64,
    /// What the messages take in memory, roughly.
    bytes: usize,
    /// The bound that applied last.
    age_max_ms: u64,
    /// The log is no longer in the history.
    pub(super) is_removed: bool,
}

struct Message {
    /// When it was appended, in milliseconds since 1970.
    time_ms: u64,
    event: Event,
    except: Box<[Target]>,
}

impl Message {
    fn size(&self) -> u64 {
        (self.event.name.len() + self.event.data.as_bytes().len()) as u64
    }

    fn bytes(&self) -> usize {
        let targets: usize = self.except.iter().map(|target| TARGET_BYTES + target.name_len()).sum();
        MESSAGE_BYTES + self.size() as usize + targets
    }
}

impl Log {
    fn new() -> Self {
        Log {
            // Each `RandomState` has other keys.
            epoch: Epoch(RandomState::new().hash_one("epoch")),
            top: 0,
            messages: VecDeque::new(),
            size: 0,
            bytes: 0,
            age_max_ms: u64::MAX,
            is_removed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What the messages take in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of the latest message.
    pub(super) fn top(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top }
    }

    pub(super) fn append(
        &mut self,
        message: &RoomMessage<'_>,
        limits: &HistoryLimits,
        now_ms: u64,
    ) -> Position {
        self.top += 1;
        // A slice of the frame would keep the whole buffer in memory.
        let event = Event { data: message.event.data.detach(), ..message.event.clone() };
        let message = Message { time_ms: now_ms, event, except: message.except.into() };
        self.size += message.size();
        self.bytes += message.bytes();
        self.messages.push_back(message);
        self.trim(limits, now_ms);
        self.top()
    }

    /// Replaces the content of the log.
    pub(super) fn restore(
        &mut self,
        top: Position,
        age_max_ms: u64,
        messages: impl IntoIterator<Item = (u64, Event, Vec<Target>)>,
    ) {
        *self = Log { epoch: top.epoch, top: top.offset, age_max_ms, ..Log::new() };
        for (time_ms, event, except) in messages {
            let message = Message { time_ms, event, except: except.into() };
            self.size += message.size();
            self.bytes += message.bytes();
            self.messages.push_back(message);
        }
    }

    /// Removes the oldest messages that exceed a bound.
    pub(super) fn trim(&mut self, limits: &HistoryLimits, now_ms: u64) {
        self.age_max_ms = limits.age_max_ms;
        while self.messages.len() as u64 > limits.messages_max || self.size > limits.bytes_max {
            self.remove_oldest();
        }
        self.expire(now_ms);
    }

    /// Removes messages that are too old.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let age_max_ms = self.age_max_ms;
        let is_old = |message: &Message| now_ms.saturating_sub(message.time_ms) >= age_max_ms;
        while self.messages.front().is_some_and(is_old) {
            self.remove_oldest();
        }
        if self.messages.capacity() > 4 * self.messages.len().max(16) {
            self.messages.shrink_to_fit();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.size -= message.size();
            self.bytes -= message.bytes();
        }
    }

    pub(super) fn read(&self, range: HistoryRange, limit: usize) -> HistoryPage {
        let len = self.messages.len() as u64;
        let first = self.top + 1 - len;
        let place = |offset: u64| offset.saturating_sub(first).min(len) as usize;
        let (from, to) = match range {
            HistoryRange::Latest => (self.messages.len().saturating_sub(limit), self.messages.len()),
            HistoryRange::Before(offset) => (place(offset).saturating_sub(limit), place(offset)),
            HistoryRange::After(offset) => {
                let from = place(offset.saturating_add(1));
                (from, from.saturating_add(limit).min(self.messages.len()))
            }
        };
        let messages = self.messages.range(from..to).zip(first + from as u64..);
        let messages = messages.map(|(message, offset)| RecordedMessage {
            offset,
            except: message.except.to_vec(),
            event: message.event.clone(),
        });
        HistoryPage { epoch: self.epoch, top: self.top, first, messages: messages.collect() }
    }
}
