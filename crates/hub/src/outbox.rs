//! The send queue of one socket: shared frames, bounded in bytes, and in addition to the bound the newest frame of each
//! [`Slot`].
//!
//! Any thread may append; one flush runs at a time. A flush takes the lock to pick a batch, releases it while
//! the kernel sends, and takes it again to record progress, so appending never waits for the kernel. Frames
//! leave in the order they were appended.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::MessageNumber;

mod droppable;
mod flags;
mod frame_queue;
mod handover;
mod held_frames;
mod losses;
mod message;
mod overflow;
mod slot;
mod watches;
mod watching;

use flags::{Flagged, FlaggedMutex, Locked};
use frame_queue::FrameQueue;
use held_frames::HeldFrames;
pub(crate) use message::{Bound, CaughtUp, Message};
pub use message::{DroppedFrames, Lag, Loss};
pub use slot::Slot;
pub(crate) use watches::Watch;
pub use watches::{QueueEnd, QueueWatcher};

/// The divisor of the bound for "almost empty": with at most 4 KiB of 1 MiB queued, one frame of any size is
/// accepted.
const ALMOST_EMPTY: usize = 256;

/// The divisor of the bound above which a receiver is behind. At that point the sender is slowed, so that half of the
/// outbox is left for what is under way.
const BEHIND: usize = 2;

/// The flags that are read without the lock.
const CLOSING: u8 = 1;
const BLOCKED: u8 = 2;

/// Sends bytes to one socket.
pub trait Transport: Send + Sync + 'static {
    /// Sends as much as the kernel accepts now and returns how much that was. `WouldBlock` if it accepts
    /// nothing: the owner then waits for readiness and flushes.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Wakes the task that owns the connection, to wait for readiness or to close.
    fn wake_owner(&self);
}

/// The send queue of one socket.
pub struct Outbox {
    state: FlaggedMutex<State>,
}

struct State {
    transport: Option<Arc<dyn Transport>>,
    queue: FrameQueue,
    /// A flush is scheduled; appends until then schedule no other.
    scheduled: bool,
    /// A flush is sending; it checks the queue again afterwards.
    sending: bool,
    /// The kernel accepts nothing; the owner waits for readiness.
    blocked: bool,
    /// The close frame is queued; nothing may follow it.
    closing: bool,
    /// It is closing because it was full.
    overflowed: bool,
    /// Data frames that were dropped because the connection ended. Saturates; the type adds no byte to the struct.
    unsent: u16,
    /// The frames held back while it is paused; none if it is not.
    held: Option<Box<HeldFrames>>,
}

/// The position of a frame in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// After everything that is queued or held back.
    Next,
    /// Like `Next`, for a stored message; this copy is dropped if the message is redelivered meanwhile.
    Stored(MessageNumber),
    /// Ahead of everything that is held back.
    Ahead,
    /// Like `Ahead`, without the bound: the frame has a few bytes, and at most one is queued.
    Unbounded,
    /// Like `Ahead`, without the bound: in the place of the frame of this slot that waits, if there is one.
    Slot(Slot),
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is queued; if true, the caller must schedule a flush.
    Queued(bool),
    /// The same, and the receiver is behind: more than half of the bound is queued.
    Behind(bool),
    /// It took the place of an older frame of its slot or key.
    Replaced,
    /// It was dropped, because the outbox was full.
    Dropped,
    /// It is not queued: the receiver will get it from the history of its room.
    Lagging,
    /// It is held back because the outbox is paused.
    Paused,
    /// The outbox was full and is closing; the caller must schedule a flush.
    Overflowed,
    /// The socket is closing or disconnected.
    Closed,
}

/// How far a receiver is behind. Two of them show how fast it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes that are queued or held back and count towards the bound; 0 if the socket is closing.
    pub bytes: usize,
    /// Bytes that the kernel has accepted since the outbox was last empty. May start at 0 again before.
    pub sent: usize,
}

/// The outcome of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The queue is empty, or another flush is running.
    Done,
    /// More is queued: flush again.
    More,
    /// The kernel accepts nothing; the owner was woken.
    Blocked,
}

impl Outbox {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Outbox {
            state: FlaggedMutex::new(State {
                transport: Some(transport),
                queue: FrameQueue::default(),
                scheduled: false,
                sending: false,
                blocked: false,
                closing: false,
                overflowed: false,
                unsent: 0,
                held: None,
            }),
        }
    }

    fn lock(&self) -> Locked<'_, State> {
        self.state.lock()
    }

    /// Appends a frame. An almost empty outbox accepts one frame of any size; otherwise the bound holds, without the frames of
    /// slots. At the bound the policy of the message decides; a live one closes the socket: the overflow frame is queued after
    /// the frames that were queued before.
    ///
    /// Returns true, beside the outcome, if the owner of the hub must be notified of losses.
    pub(crate) fn append(
        &self,
        frame: &Bytes,
        message: Message<'_>,
        placement: Placement,
        bound: Bound<'_>,
    ) -> (Appended, bool) {
        let mut state = self.lock();
        let appended = state.append(frame, message, placement, bound);
        (appended, state.needs_attention())
    }

    /// How far the receiver is behind.
    pub fn backlog(&self) -> Backlog {
        let state = self.lock();
        let is_open = !state.closing && state.transport.is_some();
        Backlog { bytes: if is_open { state.bounded_bytes() } else { 0 }, sent: state.queue.sent_bytes() }
    }

    /// Holds back later frames until [`resume`](Self::resume) is called as often as this.
    pub(crate) fn pause(&self) {
        self.lock().held.get_or_insert_default().begin_pause();
    }

    /// Ends one pause and drops held-back copies of redelivered messages. The last call releases the rest.
    /// Returns true if the caller must schedule a flush.
    pub(crate) fn resume(&self, is_redelivered: impl Fn(MessageNumber) -> bool) -> bool {
        let mut state = self.lock();
        let Some(held) = &mut state.held else { return false };
        held.end_pause(is_redelivered) && state.release()
    }

    /// Queues the close frame, whatever the bound. Returns true if the caller must schedule a flush; false if
    /// one is scheduled or the socket is closing already.
    pub(crate) fn close(&self, frame: Bytes) -> bool {
        let mut state = self.lock();
        if state.closing || state.transport.is_none() {
            return false;
        }
        state.close(frame)
    }

    /// Closes a socket that keeps too much in memory, as at the bound. Returns false if it is closing already.
    pub(crate) fn overflow(&self, frame: Bytes) -> bool {
        let mut state = self.lock();
        if state.closing || state.transport.is_none() {
            return false;
        }
        state.overflow(frame);
        true
    }

    /// Returns true once the close frame is queued; nothing may follow it.
    pub fn is_closing(&self) -> bool {
        self.state.has(CLOSING)
    }

    /// Returns true if the outbox is closing because it was full.
    pub fn has_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Bytes that are queued and not sent.
    pub fn queued_bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Bytes that are queued, not sent, and count towards the bound.
    pub fn bounded_bytes(&self) -> usize {
        self.lock().queue.bounded_bytes()
    }

    /// Returns true while later frames are held back.
    pub fn is_paused(&self) -> bool {
        self.lock().held.is_some()
    }

    /// Returns true if a frame of the slot waits behind others.
    pub fn has_waiting(&self, slot: Slot) -> bool {
        self.lock().queue.has_latest(slot)
    }

    /// Calls `visit` for each frame that the outbox keeps in memory, holding its lock. A frame that is partly sent is
    /// kept as a whole, and other outboxes may share it.
    pub fn for_each_frame(&self, mut visit: impl FnMut(&Bytes)) {
        let state = self.lock();
        state.queue.frames().for_each(&mut visit);
        state.held.iter().flat_map(|held| held.frames()).for_each(visit);
    }

    /// Marks a flush as scheduled. The caller must flush soon; appends until then schedule no other.
    pub fn mark_flush_scheduled(&self) {
        self.lock().scheduled = true;
    }

    /// Returns true while the owner must wait for readiness.
    pub fn is_blocked(&self) -> bool {
        self.state.has(BLOCKED)
    }

    /// Drops the transport and the queue. Returns how many data frames were dropped since the last call.
    pub(crate) fn detach(&self) -> usize {
        let mut state = self.lock();
        state.clear();
        let transport = state.transport.take();
        let unsent = std::mem::take(&mut state.unsent);
        drop(state);
        drop(transport);
        unsent.into()
    }

    /// Wakes the task that owns the connection.
    pub fn wake_owner(&self) {
        let transport = self.lock().transport.clone();
        if let Some(transport) = transport {
            transport.wake_owner();
        }
    }

    /// Ends the connection without a close frame: drops the queue and wakes the owner.
    pub fn abort(&self) {
        let mut state = self.lock();
        state.clear();
        state.closing = true;
        drop(state);
        self.wake_owner();
    }

    /// Sends one batch, outside the lock. `scratch` is a buffer to copy small frames together. Returns the
    /// outcome and how many bytes were sent.
    pub fn flush(&self, scratch: &mut Vec<u8>) -> (Flushed, usize) {
        let transport = {
            let mut state = self.lock();
            state.scheduled = false;
            match &state.transport {
                Some(transport) if !state.blocked => transport.clone(),
                _ => return (Flushed::Done, 0),
            }
        };
        let outcome = self.flush_by(scratch, |batch| transport.send(batch));
        if outcome.0 == Flushed::Blocked || (outcome.0 == Flushed::Done && self.is_closing()) {
            transport.wake_owner();
        }
        outcome
    }

    /// Sends one batch with `send`, even if the kernel accepted nothing before. For the owner.
    pub fn flush_by(
        &self,
        scratch: &mut Vec<u8>,
        send: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> (Flushed, usize) {
        let batch = {
            let mut state = self.lock();
            state.scheduled = false;
            if state.sending {
                return (Flushed::Done, 0);
            }
            let Some(batch) = state.queue.next_batch(scratch) else { return (Flushed::Done, 0) };
            state.sending = true;
            batch
        };
        let bytes = batch.as_slice(scratch);
        let outcome = send(bytes);
        self.lock().record(outcome, bytes.len())
    }
}

impl Flagged for State {
    #[inline]
    fn flags(&self) -> u8 {
        (u8::from(self.closing) * CLOSING) | (u8::from(self.blocked) * BLOCKED)
    }
}

impl State {
    fn append(
        &mut self,
        frame: &Bytes,
        message: Message<'_>,
        placement: Placement,
        bound: Bound<'_>,
    ) -> Appended {
        if self.closing || self.transport.is_none() {
            return Appended::Closed;
        }
        if let Placement::Slot(slot) = placement {
            let is_replaced = self.queue.push_latest(slot, frame.clone());
            return if is_replaced { Appended::Replaced } else { Appended::Queued(self.schedule()) };
        }
        if self.skips(&message) {
            return Appended::Lagging;
        }
        let is_droppable = message.policy.is_droppable();
        if is_droppable && self.replaces(frame, &message, bound.bytes_max) {
            return Appended::Replaced;
        }
        let is_bounded =
            placement != Placement::Unbounded && self.bounded_bytes() > bound.bytes_max / ALMOST_EMPTY;
        if is_bounded
            && self.bounded_bytes() + frame.len() > bound.bytes_max
            && let Some(appended) = self.at_bound(frame, &message, bound)
        {
            return appended;
        }
        // One frame of any size is no sign of a slow receiver.
        let pending = self.bounded_bytes();
        let is_behind = pending > 0 && pending + frame.len() > bound.bytes_max / BEHIND;
        if let (Some(held), Placement::Next | Placement::Stored(_)) = (&mut self.held, placement) {
            let number = if let Placement::Stored(number) = placement { Some(number) } else { None };
            held.push(frame.clone(), number);
            return if is_behind { Appended::Behind(false) } else { Appended::Paused };
        }
        match is_droppable {
            true => self.queue.push_droppable(frame.clone(), &message),
            false => self.queue.push(frame.clone()),
        }
        let unscheduled = self.schedule();
        if is_behind { Appended::Behind(unscheduled) } else { Appended::Queued(unscheduled) }
    }

    /// Bytes that count towards the bound, held-back frames included.
    fn bounded_bytes(&self) -> usize {
        self.queue.bounded_bytes() + self.held.as_ref().map_or(0, |held| held.bytes())
    }

    fn clear(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        let held = self.held.take().map_or(0, |held| held.unstored_frames());
        let dropped = u16::try_from(queue.data_frames() + held).unwrap_or(u16::MAX);
        self.unsent = self.unsent.saturating_add(dropped);
    }

    /// Queues the held-back frames. Returns true if a flush must be scheduled.
    fn release(&mut self) -> bool {
        let Some(held) = self.held.take() else { return false };
        held.into_frames().for_each(|frame| self.queue.push(frame));
        self.queue.end_missing_watches();
        !self.queue.is_empty() && self.schedule()
    }

    /// Records the outcome of sending a batch of `requested` bytes.
    fn record(&mut self, outcome: io::Result<usize>, requested: usize) -> (Flushed, usize) {
        self.sending = false;
        let sent = match outcome {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.scheduled = true;
                return (Flushed::More, 0);
            }
            Err(_) => {
                // The owner's next read fails as well and ends the connection.
                self.clear();
                self.closing = true;
                return (Flushed::Done, 0);
            }
        };
        self.queue.pop(sent);
        self.blocked = sent < requested && !self.queue.is_empty();
        if self.blocked {
            return (Flushed::Blocked, sent);
        }
        self.scheduled = !self.queue.is_empty();
        (if self.scheduled { Flushed::More } else { Flushed::Done }, sent)
    }

    fn overflow(&mut self, frame: Bytes) {
        self.overflowed = true;
        self.close(frame);
    }

    /// Queues the close frame and wakes the owner, which may be waiting for readiness. Returns true if a flush
    /// must be scheduled.
    fn close(&mut self, frame: Bytes) -> bool {
        let unscheduled = self.release();
        self.queue.push(frame);
        self.closing = true;
        if let Some(transport) = &self.transport {
            transport.wake_owner();
        }
        self.schedule() || unscheduled
    }

    /// Returns true if no flush was scheduled; from now on one is.
    fn schedule(&mut self) -> bool {
        let unscheduled = !(self.scheduled || self.sending || self.blocked);
        self.scheduled |= unscheduled;
        unscheduled
    }
}

#[cfg(test)]
mod tests;
