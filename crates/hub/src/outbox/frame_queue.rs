//! Frames in order, and how much of the first one is sent already.
//!
//! Besides ordinary frames the queue holds at most one waiting frame of each [`Slot`], which a newer one replaces in
//! its place. Such a frame does not count towards the bound of the outbox.

use std::collections::VecDeque;

use bytes::Bytes;

use super::droppable::{Key, Mark};
use super::losses::Overflow;
use super::message::Message;
use super::slot::Slot;
use super::watches::{QueueEnd, Watch, Watches};

/// Frames are copied together up to this many bytes for one send.
const BATCH_BYTES: usize = 64 * 1024;

/// Frames of at least this size are sent on their own, without the copy.
const COPY_BYTES_MAX: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct FrameQueue {
    /// Stored inline: most outboxes never hold a second frame.
    first: Option<Bytes>,
    /// 8 bytes in every idle connection.
    rest: Option<Box<Rest>>,
    /// Bytes of `first` that are sent.
    sent: usize,
    /// Bytes of ordinary frames that are not sent. If `first` is the frame of a slot, these are the bytes of `rest`.
    bounded: usize,
}

/// The frames after the first.
#[derive(Default)]
struct Rest {
    frames: VecDeque<Bytes>,
    /// Bytes of `frames`.
    bytes: usize,
    /// Bytes that were sent since there are frames after the first.
    sent: usize,
    /// The waiting frame of each slot.
    latest: [Option<Latest>; Slot::COUNT],
    /// The droppable frames and the losses. Kept while it is in use, even if there are no frames.
    overflow: Option<Box<Overflow>>,
    /// The traced frames. Kept until their ends are reported, even if there are no other frames.
    watches: Option<Box<Watches>>,
}

/// The waiting frame of a slot.
struct Latest {
    frame: Bytes,
    /// How many frames of [`Rest`] precede it.
    ahead: usize,
}

/// The bytes of the next send.
pub(super) enum Batch {
    /// The rest of the first frame, from this position.
    Frame(Bytes, usize),
    /// Small frames, copied together into the scratch buffer.
    Copied,
}

impl FrameQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes of ordinary frames that are not sent.
    pub(super) fn bounded_bytes(&self) -> usize {
        self.bounded
    }

    /// Bytes of all frames that are not sent.
    pub(super) fn bytes(&self) -> usize {
        let first = self.first.as_ref().map_or(0, |first| first.len() - self.sent);
        first + self.rest.as_ref().map_or(0, |rest| rest.bytes + rest.latest_bytes())
    }

    /// Bytes that were sent since the queue was last empty, roughly: it begins at 0 again when a second frame is queued.
    pub(super) fn sent_bytes(&self) -> usize {
        self.rest.as_ref().map_or(self.sent, |rest| rest.sent)
    }

    /// All frames, including one that is partly sent.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.all()))
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.bounded += frame.len();
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.get_or_insert_default().push(frame);
        }
    }

    /// Appends a frame that may be dropped to make room for others.
    pub(super) fn push_droppable(&mut self, frame: Bytes, message: &Message<'_>) {
        // The first frame is being sent.
        if self.first.is_some() {
            let rest = self.rest.get_or_insert_default();
            let place = rest.frames.len();
            rest.overflow.get_or_insert_default().droppable.mark(place, frame.len(), message);
        }
        self.push(frame);
    }

    /// Puts a frame in the place of the droppable one with this key, if it is at most `more` bytes larger. Returns true if it
    /// did.
    pub(super) fn replace(&mut self, key: &Key, frame: &Bytes, more: usize) -> bool {
        let Some(rest) = &mut self.rest else { return false };
        let Some(droppable) = rest.overflow.as_mut().map(|overflow| &mut overflow.droppable) else {
            return false;
        };
        let Some(place) = droppable.place_of(key) else { return false };
        let replaced = &mut rest.frames[place];
        let before = replaced.len();
        if frame.len() > before + more {
            return false;
        }
        let old = std::mem::replace(replaced, frame.clone());
        droppable.resized(place, frame.len());
        if let Some(watches) = &mut rest.watches {
            watches.end(&old, QueueEnd::Replaced);
        }
        rest.bytes = rest.bytes - before + frame.len();
        self.bounded = self.bounded - before + frame.len();
        true
    }

    /// Drops the oldest frame that may be dropped.
    pub(super) fn drop_oldest(&mut self) -> Option<Mark> {
        let rest = self.rest.as_mut()?;
        let (place, mark) = rest.overflow.as_mut()?.droppable.take_oldest()?;
        let frame = rest.frames.remove(place)?;
        if let Some(watches) = &mut rest.watches {
            watches.end(&frame, QueueEnd::Dropped);
        }
        rest.bytes -= frame.len();
        self.bounded -= frame.len();
        for latest in rest.latest.iter_mut().flatten().filter(|latest| latest.ahead > place) {
            latest.ahead -= 1;
        }
        Some(mark)
    }

    /// Reports what becomes of a frame.
    pub(super) fn watch(&mut self, watch: Watch) {
        self.rest.get_or_insert_default().watches.get_or_insert_default().push(watch);
    }

    /// Reports traced frames that were held back and are not queued.
    pub(super) fn end_missing_watches(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        let Some(watches) = &mut rest.watches else { return };
        watches.end_missing(self.first.iter().chain(&rest.frames));
        if rest.is_unused() {
            self.rest = None;
        }
    }

    /// The droppable frames and the losses.
    pub(super) fn overflow(&mut self) -> Option<&mut Overflow> {
        self.rest.as_mut()?.overflow.as_deref_mut()
    }

    /// The same, made if there is none.
    pub(super) fn overflow_or_new(&mut self) -> &mut Overflow {
        self.rest.get_or_insert_default().overflow.get_or_insert_default()
    }

    /// Appends the frame of a slot, or replaces the one that waits. Returns true if it replaced one.
    pub(super) fn push_latest(&mut self, slot: Slot, frame: Bytes) -> bool {
        if self.first.is_none() {
            self.first = Some(frame);
            return false;
        }
        self.rest.get_or_insert_default().push_latest(slot, frame)
    }

    /// Returns true if a frame of the slot waits; one that may be partly sent does not count.
    pub(super) fn has_latest(&self, slot: Slot) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.latest[slot.index()].is_some())
    }

    /// The number of ordinary frames that carry data; control frames are left out.
    pub(super) fn data_frames(&self) -> usize {
        let first = self.first.iter().filter(|_| self.is_first_ordinary());
        let rest = self.rest.iter().flat_map(|rest| &rest.frames);
        first.chain(rest).filter(|frame| is_data(frame)).count()
    }

    /// Returns true unless the first frame is that of a slot.
    fn is_first_ordinary(&self) -> bool {
        self.bounded > self.rest.as_ref().map_or(0, |rest| rest.bytes)
    }

    /// Selects the bytes of the next send; none if the queue is empty.
    pub(super) fn next_batch(&self, scratch: &mut Vec<u8>) -> Option<Batch> {
        let first = self.first.as_ref()?;
        let followers = self.rest.as_ref().map_or(0, |rest| rest.frames_before_latest());
        let next = self.rest.as_ref().and_then(|rest| rest.frames.front()).filter(|_| followers > 0);
        let left = first.len() - self.sent;
        if left >= COPY_BYTES_MAX || next.is_none_or(|next| left + next.len() > BATCH_BYTES) {
            return Some(Batch::Frame(first.clone(), self.sent));
        }
        scratch.clear();
        scratch.extend_from_slice(&first[self.sent..]);
        for frame in self.rest.iter().flat_map(|rest| rest.frames.iter().take(followers)) {
            if scratch.len() + frame.len() > BATCH_BYTES {
                break;
            }
            scratch.extend_from_slice(frame);
        }
        Some(Batch::Copied)
    }

    /// Removes the oldest `bytes`, which are sent. If a concurrent detach has emptied the queue, does nothing.
    pub(super) fn pop(&mut self, mut bytes: usize) {
        if let Some(rest) = &mut self.rest {
            rest.sent = rest.sent.saturating_add(bytes);
        }
        while let Some(first) = &self.first {
            let left = first.len() - self.sent;
            if self.is_first_ordinary() {
                self.bounded -= bytes.min(left);
            }
            if bytes < left {
                self.sent += bytes;
                return;
            }
            bytes -= left;
            self.sent = 0;
            if let Some(watches) = self.rest.as_mut().and_then(|rest| rest.watches.as_mut()) {
                watches.end(first, QueueEnd::Written);
            }
            self.first = self.rest.as_mut().and_then(|rest| rest.pop());
            if self.rest.as_mut().is_some_and(|rest| rest.is_unused()) {
                self.rest = None;
            }
        }
    }
}

impl Rest {
    fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter().chain(self.latest.iter().flatten().map(|latest| &latest.frame))
    }

    /// Returns true if it can be dropped.
    fn is_unused(&mut self) -> bool {
        self.overflow.take_if(|overflow| overflow.is_idle());
        self.watches.take_if(|watches| watches.is_empty());
        self.overflow.is_none() && self.watches.is_none() && self.all().next().is_none()
    }

    fn latest_bytes(&self) -> usize {
        self.latest.iter().flatten().map(|latest| latest.frame.len()).sum()
    }

    /// How many ordinary frames precede the first frame of a slot.
    fn frames_before_latest(&self) -> usize {
        let ahead = self.latest.iter().flatten().map(|latest| latest.ahead);
        ahead.min().unwrap_or(self.frames.len())
    }

    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn push_latest(&mut self, slot: Slot, frame: Bytes) -> bool {
        let waiting = &mut self.latest[slot.index()];
        let ahead = waiting.as_ref().map_or(self.frames.len(), |waiting| waiting.ahead);
        waiting.replace(Latest { frame, ahead }).is_some()
    }

    /// Removes the next frame.
    fn pop(&mut self) -> Option<Bytes> {
        let is_next = |latest: &mut Latest| latest.ahead == 0;
        if let Some(next) = self.latest.iter_mut().find_map(|latest| latest.take_if(is_next)) {
            return Some(next.frame);
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        self.latest.iter_mut().flatten().for_each(|latest| latest.ahead -= 1);
        if let Some(overflow) = &mut self.overflow {
            overflow.droppable.popped();
        }
        Some(frame)
    }
}

/// Returns true if a frame's opcode is not that of a control frame (RFC 6455, 5.5).
fn is_data(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x08 == 0)
}

impl Batch {
    pub(super) fn as_slice<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Batch::Frame(frame, sent) => &frame[*sent..],
            Batch::Copied => scratch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// Sends everything, `step` bytes at a time, and checks the counters after each send.
    fn drain(queue: &mut FrameQueue, step: usize) -> String {
        let (mut sent, mut scratch) = (Vec::new(), Vec::new());
        while let Some(batch) = queue.next_batch(&mut scratch) {
            let bytes = batch.as_slice(&scratch);
            let bytes = &bytes[..bytes.len().min(step)];
            sent.extend_from_slice(bytes);
            let before = queue.bytes();
            queue.pop(bytes.len());
            assert_eq!(queue.bytes(), before - bytes.len());
            assert!(queue.bounded_bytes() <= queue.bytes());
        }
        assert_eq!((queue.bytes(), queue.bounded_bytes(), queue.frames().count()), (0, 0, 0));
        String::from_utf8(sent).unwrap()
    }

    #[test]
    fn the_frame_of_a_slot_is_replaced_in_its_place_and_does_not_count() {
        for step in 1..20 {
            let mut queue = FrameQueue::default();
            queue.push(frame("ab"));
            queue.push(frame("cd"));
            assert!(!queue.push_latest(Slot::State, frame("old")));
            queue.push(frame("ef"));
            assert!(!queue.push_latest(Slot::Probe, frame("?")));
            assert!(queue.push_latest(Slot::State, frame("newer")));
            assert!(queue.push_latest(Slot::Probe, frame("!")));
            assert_eq!((queue.bounded_bytes(), queue.bytes(), queue.frames().count()), (6, 12, 5));
            assert_eq!(drain(&mut queue, step), "abcdneweref!", "steps of {step}");
        }
    }

    #[test]
    fn a_frame_that_is_being_sent_is_completed_before_its_successor() {
        let mut queue = FrameQueue::default();
        assert!(!queue.push_latest(Slot::State, frame("first")));
        queue.pop(2);
        assert_eq!((queue.bounded_bytes(), queue.bytes()), (0, 3));
        assert!(!queue.has_latest(Slot::State), "it may be partly sent");
        queue.push(frame("ab"));
        assert!(!queue.push_latest(Slot::State, frame("second")) && queue.has_latest(Slot::State));
        assert!(queue.push_latest(Slot::State, frame("third")));
        assert_eq!((queue.bounded_bytes(), queue.bytes()), (2, 10));
        assert_eq!(drain(&mut queue, 4), "rstabthird");
    }

    #[test]
    fn ordinary_frames_count_behind_and_before_the_frame_of_a_slot() {
        let mut queue = FrameQueue::default();
        queue.push(frame("ab"));
        queue.push_latest(Slot::State, frame("state"));
        queue.push(frame("cd"));
        let counts = [1, 1, 3, 2, 1, 1].map(|bytes| {
            queue.pop(bytes);
            (queue.bounded_bytes(), queue.bytes())
        });
        assert_eq!(counts, [(3, 8), (2, 7), (2, 4), (2, 2), (1, 1), (0, 0)]);
    }
}
