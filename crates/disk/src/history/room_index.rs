//! Which messages of a room are in the file.

use std::collections::VecDeque;

use switchboard_backplane::HistoryLimits;
use switchboard_event::Epoch;

/// The messages of a room in the file, with consecutive numbers up to `top`.
#[derive(Debug)]
pub(super) struct RoomIndex {
    pub(super) epoch: Epoch,
    /// The number of the latest message of the room, kept or not.
    pub(super) top: u64,
    pub(super) age_max_ms: u64,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Bytes that count towards the bound of the room.
    size: u64,
    /// Bytes in the file.
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    time_ms: u64,
    size: u64,
    bytes: usize,
}

impl RoomIndex {
    pub(super) fn new(epoch: Epoch, top: u64, age_max_ms: u64) -> Self {
        RoomIndex { epoch, top, age_max_ms, entries: VecDeque::new(), size: 0, bytes: 0 }
    }

    /// The number of the oldest message in the file; `top + 1` if there is none.
    pub(super) fn first(&self) -> u64 {
        self.top + 1 - self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the latest message was sent; 0 if none is in the file.
    pub(super) fn latest_ms(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.time_ms)
    }

    /// Adds a message behind `top`.
    pub(super) fn push(&mut self, time_ms: u64, size: u64, bytes: usize) {
        self.top += 1;
        self.entries.push_back(Entry { time_ms, size, bytes });
        self.size += size;
        self.bytes += bytes;
    }

    /// Removes the oldest messages that exceed a bound.
    pub(super) fn trim(&mut self, limits: &HistoryLimits, now_ms: u64) {
        self.age_max_ms = limits.age_max_ms;
        while self.entries.len() as u64 > limits.messages_max || self.size > limits.bytes_max {
            self.pop();
        }
        self.expire(now_ms);
    }

    /// Removes messages that are too old.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let age_max_ms = self.age_max_ms;
        let is_old = |entry: &Entry| now_ms.saturating_sub(entry.time_ms) >= age_max_ms;
        while self.entries.front().is_some_and(is_old) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(Entry { size, bytes, .. }) = self.entries.pop_front() {
            self.size -= size;
            self.bytes -= bytes;
        }
    }
}
