//! What waits to be sent to one socket: shared frames, bounded in bytes.
//!
//! Many append, one at a time flushes. A flush takes the lock twice for a moment and sends in
//! between, so nobody who appends ever waits for the kernel. Frames leave in the order they came.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{DeliveryClass, MessageNumber};

/// Frames are copied together up to this many bytes for one send.
const BATCH_BYTES: usize = 64 * 1024;

/// Frames from this size on are sent on their own, without the copy.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// The way out to one peer.
pub trait Transport: Send + Sync + 'static {
    /// Sends what the peer takes now and says how much that was. `WouldBlock` when it takes
    /// nothing: the owner then waits until it does, and flushes itself.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Wakes the task that owns the connection: it has to wait for the peer, or to close.
    fn wake_owner(&self);
}

/// The queue of one socket.
pub struct Outbox {
    state: Mutex<State>,
}

struct State {
    transport: Option<Arc<dyn Transport>>,
    /// The oldest frame stands inline: most outboxes never hold a second one.
    first: Option<Bytes>,
    #[expect(clippy::box_collection, reason = "8 bytes in every idle connection, not 32")]
    rest: Option<Box<VecDeque<Bytes>>>,
    /// How much of `first` has left already.
    sent: usize,
    queued_bytes: usize,
    /// Somebody will flush; no need to ask again.
    scheduled: bool,
    /// Somebody is sending right now, and looks again when done.
    busy: bool,
    /// The peer takes nothing; its owner waits for it.
    blocked: bool,
    /// The last frame, a close frame, is queued; nothing may follow it.
    closing: bool,
    /// It closed because it was full.
    overflowed: bool,
    /// While it is paused: what has to wait.
    paused: Option<Box<Paused>>,
}

/// What waits behind something that is told first, such as the messages that a user has missed.
#[derive(Default)]
struct Paused {
    frames: VecDeque<(Bytes, Option<MessageNumber>)>,
    bytes: usize,
    /// How many have paused it; the last one ends it.
    times: u32,
}

/// With no more than this part of its bound an outbox has next to nothing: 4 KiB of 1 MiB.
const NEXT_TO_NOTHING: usize = 256;

/// How a frame goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Behind all that came before.
    Next,
    /// The same. It is a message that may be told first meanwhile; then this copy is dropped.
    Stored(MessageNumber),
    /// Before what is paused.
    Now,
    /// The same, and beside the bound: it has a few bytes, and there is one at a time.
    Beside,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is queued; true asks the caller to have the outbox flushed.
    Queued(bool),
    /// It was volatile and there was no room.
    Dropped,
    /// It waits until the outbox is no longer paused.
    Paused,
    /// There was no room: the outbox has closed. The caller has it flushed.
    Overflowed,
    /// The socket is closing or gone.
    Closed,
}

/// What a flush left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left, or somebody else is at it.
    Done,
    /// More is queued: flush again.
    More,
    /// The peer takes nothing now; its owner was woken.
    Blocked,
}

impl Outbox {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Outbox {
            state: Mutex::new(State {
                transport: Some(transport),
                first: None,
                rest: None,
                sent: 0,
                queued_bytes: 0,
                scheduled: false,
                busy: false,
                blocked: false,
                closing: false,
                overflowed: false,
                paused: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds an outbox panics")
    }

    /// Queues a frame. A single frame is taken whatever its size when next to nothing is queued; else
    /// `bytes_max` holds, and what happens at it is the class's matter: volatile frames are
    /// dropped, a live one closes the socket with `overflow`, which goes out behind all that was
    /// queued before.
    pub(crate) fn append(
        &self,
        frame: &Bytes,
        class: DeliveryClass,
        order: Order,
        bytes_max: usize,
        overflow: &Bytes,
    ) -> Appended {
        let mut state = self.lock();
        if state.closing || state.transport.is_none() {
            return Appended::Closed;
        }
        let waiting = state.queued_bytes + state.paused.as_ref().map_or(0, |paused| paused.bytes);
        let is_bounded = order != Order::Beside && waiting > bytes_max / NEXT_TO_NOTHING;
        if is_bounded && waiting + frame.len() > bytes_max {
            if class == DeliveryClass::Volatile {
                return Appended::Dropped;
            }
            state.overflowed = true;
            state.close(overflow.clone());
            return Appended::Overflowed;
        }
        if let (Some(paused), Order::Next | Order::Stored(_)) = (&mut state.paused, order) {
            let number = if let Order::Stored(number) = order { Some(number) } else { None };
            paused.bytes += frame.len();
            paused.frames.push_back((frame.clone(), number));
            return Appended::Paused;
        }
        state.push(frame.clone());
        Appended::Queued(state.schedule())
    }

    /// From now on, and until as many [`resume`](Self::resume), only what goes out at once goes out.
    pub(crate) fn pause(&self) {
        self.lock().paused.get_or_insert_default().times += 1;
    }

    /// Drops what has been told meanwhile, and lets the rest go if nobody else has paused it. True asks
    /// the caller to have it flushed.
    pub(crate) fn resume(&self, told: impl Fn(MessageNumber) -> bool) -> bool {
        let mut state = self.lock();
        let Some(paused) = &mut state.paused else { return false };
        paused.frames.retain(|(_, number)| !number.is_some_and(&told));
        paused.times -= 1;
        paused.times == 0 && state.release()
    }

    /// Queues the last frame, whatever the bound. True asks the caller to have it flushed; false
    /// means it will be, or the socket is closing already.
    pub(crate) fn close(&self, frame: Bytes) -> bool {
        let mut state = self.lock();
        if state.closing || state.transport.is_none() {
            return false;
        }
        state.close(frame)
    }

    /// Whether the last frame was queued.
    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Whether it closed because it was full.
    pub fn has_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Bytes that wait, the part of a frame that has left already not counted.
    pub fn queued_bytes(&self) -> usize {
        self.lock().queued_bytes
    }

    /// Promises a flush by the caller, so that what is appended meanwhile asks for none.
    pub fn hold(&self) {
        self.lock().scheduled = true;
    }

    /// Whether the owner has to wait until the peer takes more.
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// Lets go of the transport and of everything queued. Returns how many bytes were never sent.
    pub(crate) fn detach(&self) -> usize {
        let mut state = self.lock();
        let lost = state.queued_bytes;
        state.clear();
        let transport = state.transport.take();
        drop(state);
        drop(transport);
        lost
    }

    /// Wakes the task that owns the connection.
    pub fn wake_owner(&self) {
        let transport = self.lock().transport.clone();
        if let Some(transport) = transport {
            transport.wake_owner();
        }
    }

    /// Ends the connection without a word: drops what is queued and wakes the owner.
    pub fn abort(&self) {
        let mut state = self.lock();
        state.clear();
        state.closing = true;
        drop(state);
        self.wake_owner();
    }

    /// Sends one batch, outside the lock. `scratch` is lent to copy small frames together. Returns
    /// what is left and how many bytes went.
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

    /// The owner's flush: sends one batch with `send`, also when the peer took nothing before.
    pub fn flush_by(
        &self,
        scratch: &mut Vec<u8>,
        send: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> (Flushed, usize) {
        let (lone, sent) = {
            let mut state = self.lock();
            state.scheduled = false;
            let Some(first) = state.first.as_ref().filter(|_| !state.busy) else {
                return (Flushed::Done, 0);
            };
            let alone = state.rest.is_none() || first.len() - state.sent >= COPY_BYTES_MAX;
            let lone = alone.then(|| first.clone());
            if !alone {
                state.copy_batch(scratch);
            }
            state.busy = true;
            (lone, state.sent)
        };
        let batch: &[u8] = lone.as_ref().map_or(scratch, |frame| &frame[sent..]);
        let outcome = send(batch);
        self.lock().settle(outcome, batch.len())
    }
}

impl State {
    fn clear(&mut self) {
        (self.first, self.rest, self.queued_bytes, self.sent) = (None, None, 0, 0);
        self.paused = None;
    }

    /// Lets what is paused go. True if nobody was going to flush.
    fn release(&mut self) -> bool {
        let Some(paused) = self.paused.take() else { return false };
        for (frame, _) in paused.frames {
            self.push(frame);
        }
        self.first.is_some() && self.schedule()
    }

    /// Takes in what became of a batch.
    fn settle(&mut self, outcome: io::Result<usize>, asked: usize) -> (Flushed, usize) {
        self.busy = false;
        let sent = match outcome {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.scheduled = true;
                return (Flushed::More, 0);
            }
            Err(_) => {
                // The owner's next read says the same and ends the connection.
                self.clear();
                self.closing = true;
                return (Flushed::Done, 0);
            }
        };
        self.pop(sent);
        self.blocked = sent < asked && self.first.is_some();
        if self.blocked {
            return (Flushed::Blocked, sent);
        }
        self.scheduled = self.first.is_some();
        (if self.scheduled { Flushed::More } else { Flushed::Done }, sent)
    }

    fn push(&mut self, frame: Bytes) {
        self.queued_bytes += frame.len();
        match (&self.first, &mut self.rest) {
            (None, _) => self.first = Some(frame),
            (Some(_), Some(rest)) => rest.push_back(frame),
            (Some(_), None) => self.rest = Some(Box::new(VecDeque::from([frame]))),
        }
    }

    /// Queues the last frame and tells the owner, who may be waiting for a peer that takes nothing.
    /// True if nobody was going to flush.
    fn close(&mut self, frame: Bytes) -> bool {
        let nobody = self.release();
        self.push(frame);
        self.closing = true;
        if let Some(transport) = &self.transport {
            transport.wake_owner();
        }
        self.schedule() || nobody
    }

    /// True if nobody was going to flush; from now on somebody is.
    fn schedule(&mut self) -> bool {
        let nobody = !(self.scheduled || self.busy || self.blocked);
        self.scheduled |= nobody;
        nobody
    }

    fn copy_batch(&self, scratch: &mut Vec<u8>) {
        scratch.clear();
        let first = self.first.as_ref().expect("a batch is copied only when a frame is queued");
        scratch.extend_from_slice(&first[self.sent..]);
        for frame in self.rest.iter().flat_map(|rest| rest.iter()) {
            if scratch.len() + frame.len() > BATCH_BYTES {
                break;
            }
            scratch.extend_from_slice(frame);
        }
    }

    /// Forgets the oldest `bytes`, which have left.
    fn pop(&mut self, mut bytes: usize) {
        // A detach meanwhile has emptied the queue.
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        while let Some(first) = &self.first {
            let left = first.len() - self.sent;
            if bytes < left {
                self.sent += bytes;
                return;
            }
            bytes -= left;
            self.sent = 0;
            self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
            if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
                self.rest = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes at most `room` bytes in all.
    #[derive(Default)]
    struct Pipe {
        taken: Mutex<Vec<u8>>,
        room: AtomicUsize,
        woken: AtomicUsize,
    }

    impl Pipe {
        fn with_room(room: usize) -> Arc<Self> {
            Arc::new(Pipe { room: room.into(), ..Pipe::default() })
        }

        fn taken(&self) -> Vec<u8> {
            self.taken.lock().unwrap().clone()
        }
    }

    impl Transport for Pipe {
        fn send(&self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room.load(Ordering::Relaxed);
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let sent = room.min(bytes.len());
            self.room.fetch_sub(sent, Ordering::Relaxed);
            self.taken.lock().unwrap().extend_from_slice(&bytes[..sent]);
            Ok(sent)
        }

        fn wake_owner(&self) {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    const OVERFLOW: Bytes = Bytes::from_static(b"!");

    fn append(outbox: &Outbox, text: &'static str) -> Appended {
        outbox.append(&Bytes::from_static(text.as_bytes()), DeliveryClass::Live, Order::Next, 8, &OVERFLOW)
    }

    #[test]
    fn frames_leave_in_order_over_short_sends() {
        for room in 1..9 {
            let pipe = Pipe::with_room(room);
            let outbox = Outbox::new(pipe.clone());
            assert_eq!(append(&outbox, "abc"), Appended::Queued(true));
            assert_eq!(append(&outbox, "de"), Appended::Queued(false));
            assert_eq!(append(&outbox, "fgh"), Appended::Queued(false));
            let mut scratch = Vec::new();
            while outbox.flush(&mut scratch).0 == Flushed::More {}
            if room < 8 {
                assert!(outbox.is_blocked());
                pipe.room.store(100, Ordering::Relaxed);
                while outbox.flush_by(&mut scratch, |bytes| pipe.send(bytes)).0 != Flushed::Done {}
            }
            assert_eq!(pipe.taken(), b"abcdefgh");
            assert_eq!(outbox.queued_bytes(), 0);
        }
    }

    #[test]
    fn at_the_bound_volatile_frames_drop_and_live_ones_close_behind_what_was_queued() {
        let pipe = Pipe::with_room(100);
        let outbox = Outbox::new(pipe.clone());
        append(&outbox, "12345678");
        let more = Bytes::from_static(b"9");
        assert_eq!(
            outbox.append(&more, DeliveryClass::Volatile, Order::Next, 8, &OVERFLOW),
            Appended::Dropped
        );
        assert_eq!(append(&outbox, "9"), Appended::Overflowed);
        assert_eq!(append(&outbox, "x"), Appended::Closed);
        while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
        assert_eq!(pipe.taken(), b"12345678!");
    }

    #[test]
    fn one_frame_over_the_bound_is_taken_when_nothing_else_waits() {
        let outbox = Outbox::new(Pipe::with_room(0));
        assert_eq!(append(&outbox, "far over the bound"), Appended::Queued(true));
        assert_eq!(append(&outbox, "x"), Appended::Overflowed);
    }

    fn append_in(outbox: &Outbox, order: Order, text: &'static str) -> Appended {
        outbox.append(&Bytes::from_static(text.as_bytes()), DeliveryClass::Live, order, 8, &OVERFLOW)
    }

    #[test]
    fn a_frame_over_the_bound_is_taken_behind_next_to_nothing_and_a_receipt_behind_that() {
        let append = |outbox: &Outbox, order, bytes: usize| {
            outbox.append(&vec![b'x'; bytes].into(), DeliveryClass::Live, order, 1024, &OVERFLOW)
        };
        let outbox = Outbox::new(Pipe::with_room(0));
        assert_eq!(append(&outbox, Order::Next, 4), Appended::Queued(true));
        assert_eq!(append(&outbox, Order::Now, 2000), Appended::Queued(false));
        assert_eq!(append(&outbox, Order::Beside, 14), Appended::Queued(false));
        assert_eq!(append(&outbox, Order::Now, 14), Appended::Overflowed);
        let outbox = Outbox::new(Pipe::with_room(0));
        assert_eq!(append(&outbox, Order::Next, 5), Appended::Queued(true));
        assert_eq!(
            append(&outbox, Order::Next, 1020),
            Appended::Overflowed,
            "5 of 1,024 bytes are something"
        );
    }

    #[test]
    fn what_is_parked_waits_and_what_was_told_meanwhile_is_dropped() {
        let pipe = Pipe::with_room(100);
        let outbox = Outbox::new(pipe.clone());
        outbox.pause();
        outbox.pause();
        assert_eq!(append_in(&outbox, Order::Next, "c"), Appended::Paused);
        assert_eq!(append_in(&outbox, Order::Stored(MessageNumber(1)), "1"), Appended::Paused);
        assert_eq!(append_in(&outbox, Order::Stored(MessageNumber(2)), "2"), Appended::Paused);
        assert_eq!(append_in(&outbox, Order::Now, "a"), Appended::Queued(true));
        assert!(!outbox.resume(|number| number == MessageNumber(1)), "somebody else has paused it");
        assert_eq!(append_in(&outbox, Order::Now, "b"), Appended::Queued(false));
        outbox.resume(|_| false);
        assert_eq!(append_in(&outbox, Order::Next, "d"), Appended::Queued(false));
        while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
        assert_eq!(pipe.taken(), b"abc2d");
    }

    #[test]
    fn what_is_parked_counts_against_the_bound_and_goes_out_before_a_close() {
        let pipe = Pipe::with_room(100);
        let outbox = Outbox::new(pipe.clone());
        outbox.pause();
        assert_eq!(append_in(&outbox, Order::Next, "12345678"), Appended::Paused);
        assert_eq!(append_in(&outbox, Order::Now, "9"), Appended::Overflowed);
        outbox.resume(|_| false);
        while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
        assert_eq!(pipe.taken(), b"12345678!");
    }

    #[test]
    fn a_held_outbox_asks_nobody_to_flush() {
        let outbox = Outbox::new(Pipe::with_room(100));
        outbox.hold();
        assert_eq!(append(&outbox, "a"), Appended::Queued(false));
    }

    #[test]
    fn a_detached_outbox_takes_nothing_and_lets_go_of_its_transport() {
        let pipe = Pipe::with_room(0);
        let outbox = Outbox::new(pipe.clone());
        append(&outbox, "abc");
        assert_eq!(outbox.detach(), 3);
        assert_eq!(Arc::strong_count(&pipe), 1);
        assert_eq!(append(&outbox, "a"), Appended::Closed);
        assert_eq!(outbox.flush(&mut Vec::new()), (Flushed::Done, 0));
    }
}
