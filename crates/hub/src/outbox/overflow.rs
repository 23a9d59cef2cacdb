//! The behaviour of an outbox at its bound, by the [policy](OverflowPolicy) of the message.
//!
//! Losses are remembered until the receiver has been notified. A live message that is in the history of its room is not
//! lost: the receiver then *lags* in that room. Further messages of the room are not queued; the owner of the hub reads
//! them from the history when the outbox has space again, until the receiver has caught up.

use bytes::Bytes;
use switchboard_event::{OverflowPolicy, Position, RoomName};

use super::droppable::Key;
use super::losses::Overflow;
use super::message::{Bound, CaughtUp, Lag, Loss, Message};
use super::{ALMOST_EMPTY, Appended, Outbox, State};

impl State {
    /// Returns true if the message is not queued because the receiver lags in its room.
    pub(super) fn skips(&mut self, message: &Message<'_>) -> bool {
        self.queue.overflow().is_some_and(|overflow| overflow.skips(message))
    }

    /// Puts the frame in the place of the queued one with the same key. Returns false if there is none, or if the outbox
    /// would exceed its bound.
    pub(super) fn replaces(&mut self, frame: &Bytes, message: &Message<'_>, bytes_max: usize) -> bool {
        let pending = self.bounded_bytes();
        Key::of(message).is_some_and(|key| self.queue.replace(&key, frame, bytes_max.saturating_sub(pending)))
    }

    /// Makes room at the bound for a frame. Returns `None` if it can be queued, and otherwise its outcome.
    pub(super) fn at_bound(
        &mut self,
        frame: &Bytes,
        message: &Message<'_>,
        bound: Bound<'_>,
    ) -> Option<Appended> {
        let Message { policy, room, position, .. } = *message;
        if *policy != OverflowPolicy::Volatile && self.makes_space(frame.len(), bound) {
            return None;
        }
        if *policy != OverflowPolicy::Live {
            bound.dropped.count_new(policy);
            self.queue.overflow_or_new().add_loss(room.cloned());
            return Some(Appended::Dropped);
        }
        let (Some(room), Some(position)) = (room, position) else {
            self.overflow(bound.overflow_frame.clone());
            return Some(Appended::Overflowed);
        };
        // Offsets have no holes, and the receiver has all earlier ones.
        let after = Position { offset: position.offset.saturating_sub(1), ..position };
        let lag = Lag { room: room.clone(), after, skipped: position };
        self.queue.overflow_or_new().lags.push(lag);
        Some(Appended::Lagging)
    }

    /// Drops the oldest droppable frames until there is space for a frame of this size. Drops none if all of them are too few.
    fn makes_space(&mut self, bytes: usize, bound: Bound<'_>) -> bool {
        let droppable = self.queue.overflow().map_or(0, |overflow| overflow.droppable.bytes());
        if self.bounded_bytes() - droppable + bytes > bound.bytes_max {
            return false;
        }
        while self.bounded_bytes() + bytes > bound.bytes_max {
            let Some(mark) = self.queue.drop_oldest() else { return false };
            bound.dropped.count(mark.is_latest());
            self.queue.overflow_or_new().add_loss(mark.room);
        }
        true
    }

    /// Returns true if the owner of the hub must be notified of a loss: once, until it has finished.
    pub(super) fn needs_attention(&mut self) -> bool {
        self.queue.overflow().is_some_and(|overflow| {
            let has_losses = !overflow.losses.is_empty() || !overflow.lags.is_empty();
            has_losses && !std::mem::replace(&mut overflow.is_attended, true)
        })
    }

    fn numbered(&mut self, number: u64) -> Option<&mut Overflow> {
        self.queue.overflow().filter(|overflow| overflow.number == number)
    }
}

/// For the owner of the hub, which is notified of a loss by [`HubEvent::Overflowed`](crate::HubEvent::Overflowed).
impl Outbox {
    /// The number of the present losses; `None` if there are none. It is an argument of the other methods, which do nothing
    /// once the connection has ended.
    pub fn overflow_number(&self) -> Option<u64> {
        self.lock().queue.overflow().map(|overflow| overflow.number)
    }

    /// Returns true if at most this many bytes are queued and nothing is held back.
    pub fn has_space(&self, bytes: usize) -> bool {
        let state = self.lock();
        state.held.is_none() && state.bounded_bytes() <= bytes
    }

    /// Takes the losses of which the receiver was not notified.
    pub fn take_losses(&self, number: u64) -> Vec<Loss> {
        let mut state = self.lock();
        state.numbered(number).map(|overflow| std::mem::take(&mut overflow.losses)).unwrap_or_default()
    }

    /// A room in which the receiver lags.
    pub fn lag(&self, number: u64) -> Option<Lag> {
        self.lock().numbered(number)?.lags.first().cloned()
    }

    /// Finishes, unless there are losses or lags again. Returns true if nothing is left to do.
    pub fn finish_overflow(&self, number: u64) -> bool {
        let mut state = self.lock();
        let Some(overflow) = state.numbered(number) else { return true };
        let is_done = overflow.losses.is_empty() && overflow.lags.is_empty();
        overflow.is_attended = !is_done;
        is_done
    }

    /// Continues a lag behind a position, because the messages before are gone from the history.
    pub fn continue_lag(&self, number: u64, room: &RoomName, after: Position) {
        if let Some(lag) = self.lock().numbered(number).and_then(|overflow| overflow.lag(room)) {
            lag.after = after;
        }
    }

    /// Ends a lag, unless messages were skipped since it was read. Returns false if it goes on.
    pub fn end_lag(&self, number: u64, read: &Lag) -> bool {
        let mut state = self.lock();
        let Some(overflow) = state.numbered(number) else { return true };
        let before = overflow.lags.len();
        overflow.lags.retain(|lag| lag.room != read.room || lag.skipped != read.skipped);
        overflow.lags.len() < before
    }

    /// Returns true if the receiver lags in a room.
    pub(crate) fn lags_in(&self, room: &RoomName) -> bool {
        self.lock().queue.overflow().is_some_and(|overflow| overflow.lag(room).is_some())
    }

    /// Forgets the lag in a room that the receiver has left.
    pub fn forget_lag(&self, room: &RoomName) {
        if let Some(overflow) = self.lock().queue.overflow() {
            overflow.lags.retain(|lag| lag.room != *room);
        }
    }

    /// Queues the message at a position of the history, or passes over it if `frame` is `None`. If nothing behind it was
    /// skipped, the lag ends. `bytes_max` is the part of the bound that such messages may fill.
    pub(crate) fn catch_up(
        &self,
        number: u64,
        room: &RoomName,
        position: Position,
        frame: Option<&Bytes>,
        bytes_max: usize,
    ) -> CaughtUp {
        let mut state = self.lock();
        let (is_paused, pending) = (state.held.is_some(), state.bounded_bytes());
        if state.closing || state.transport.is_none() {
            return CaughtUp::Ended;
        }
        let Some(overflow) = state.numbered(number) else { return CaughtUp::Ended };
        let Some(lag) = overflow.lag(room) else { return CaughtUp::Ended };
        let is_full = |frame: &Bytes| pending > bytes_max / ALMOST_EMPTY && pending + frame.len() > bytes_max;
        if is_paused || frame.is_some_and(is_full) {
            return CaughtUp::Full;
        }
        lag.after = position;
        if lag.skipped == position {
            overflow.lags.retain(|lag| lag.room != *room);
        }
        let Some(frame) = frame else { return CaughtUp::Queued(false) };
        state.queue.push(frame.clone());
        CaughtUp::Queued(state.schedule())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use std::sync::atomic::AtomicU64;

    use switchboard_event::{Epoch, Event, LatestKey, Name, Payload, SocketId};

    use super::*;
    use crate::outbox::losses::LOSS_ROOMS_MAX;
    use crate::outbox::message::DroppedFrames;
    use crate::outbox::{Flushed, Placement, Transport};

    /// Accepts nothing until it is opened.
    #[derive(Default)]
    struct Gate {
        is_open: Mutex<bool>,
        sent: Mutex<Vec<u8>>,
    }

    impl Transport for Gate {
        fn send(&self, bytes: &[u8]) -> io::Result<usize> {
            if !*self.is_open.lock().unwrap() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.sent.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn wake_owner(&self) {}
    }

    /// An outbox of 8 bytes.
    struct Receiver {
        gate: Arc<Gate>,
        outbox: Outbox,
        dropped: DroppedFrames,
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch(1), offset }
    }

    fn latest(key: &str) -> OverflowPolicy {
        OverflowPolicy::Latest(LatestKey::Text(Name::new(key).unwrap()))
    }

    impl Receiver {
        fn new() -> Self {
            let gate = Arc::new(Gate::default());
            Receiver { outbox: Outbox::new(gate.clone()), gate, dropped: DroppedFrames::default() }
        }

        fn append_message(&self, text: &'static str, message: Message<'_>) -> (Appended, bool) {
            let overflow_frame = Bytes::from_static(b"!");
            let bound = Bound { bytes_max: 8, overflow_frame: &overflow_frame, dropped: &self.dropped };
            let frame = Bytes::from_static(text.as_bytes());
            self.outbox.append(&frame, message, Placement::Next, bound)
        }

        fn append(&self, policy: &OverflowPolicy, text: &'static str) -> Appended {
            self.append_message(text, Message::with_policy(policy)).0
        }

        fn append_to(
            &self,
            name: &str,
            position: Option<Position>,
            policy: &OverflowPolicy,
            text: &'static str,
        ) -> Appended {
            let room = room(name);
            let message = Message { policy, event: None, room: Some(&room), position };
            self.append_message(text, message).0
        }

        /// What is received once the transport accepts everything.
        fn received(&self) -> String {
            *self.gate.is_open.lock().unwrap() = true;
            while self.outbox.flush_by(&mut Vec::new(), |bytes| self.gate.send(bytes)).0 == Flushed::More {}
            *self.gate.is_open.lock().unwrap() = false;
            String::from_utf8(std::mem::take(&mut *self.gate.sent.lock().unwrap())).unwrap()
        }

        fn losses(&self) -> Vec<(Option<RoomName>, u64)> {
            let losses = self.outbox.overflow_number().map(|number| self.outbox.take_losses(number));
            losses.unwrap_or_default().into_iter().map(|loss| (loss.room, loss.messages)).collect()
        }
    }

    #[test]
    fn oldest_drops_the_oldest_droppable_frames_and_keeps_the_others() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "L1");
        receiver.append(&OverflowPolicy::Oldest, "o1");
        receiver.append(&OverflowPolicy::Live, "L2");
        receiver.append(&OverflowPolicy::Oldest, "o2");
        assert_eq!(receiver.append(&OverflowPolicy::Oldest, "o3"), Appended::Behind(false));
        assert_eq!(receiver.append(&OverflowPolicy::Oldest, "o4"), Appended::Behind(false));
        assert_eq!(receiver.append(&OverflowPolicy::Live, "L3"), Appended::Behind(false));
        assert_eq!(receiver.losses(), [(None, 3)]);
        assert_eq!(receiver.append(&OverflowPolicy::Live, "L4"), Appended::Behind(false));
        assert_eq!(
            receiver.append(&OverflowPolicy::Live, "L5"),
            Appended::Overflowed,
            "nothing is droppable"
        );
        assert_eq!(receiver.received(), "L1L2L3L4!");
        assert_eq!(receiver.dropped.oldest.into_inner(), 4);
    }

    #[test]
    fn a_droppable_frame_is_dropped_itself_if_only_others_are_queued() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "12345678");
        assert_eq!(receiver.append(&OverflowPolicy::Oldest, "o"), Appended::Dropped);
        assert_eq!(receiver.append(&latest("k"), "k"), Appended::Dropped);
        assert_eq!(receiver.append(&OverflowPolicy::Volatile, "v"), Appended::Dropped);
        assert_eq!(receiver.received(), "12345678");
        assert_eq!(receiver.losses(), [(None, 3)]);
        let DroppedFrames { volatile, latest, oldest } = receiver.dropped;
        assert_eq!([volatile, latest, oldest].map(AtomicU64::into_inner), [1, 1, 1]);
    }

    #[test]
    fn latest_replaces_the_queued_frame_of_its_key_in_its_place() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "L");
        receiver.append(&latest("a"), "a1");
        receiver.append(&latest("b"), "b1");
        assert_eq!(receiver.append(&latest("a"), "a2"), Appended::Replaced);
        assert_eq!(receiver.append(&latest("a"), "a34"), Appended::Replaced);
        assert_eq!(receiver.outbox.bounded_bytes(), 6);
        assert_eq!(receiver.received(), "La34b1");
        assert_eq!(receiver.losses(), [], "a replaced frame has a successor");
        assert_eq!(receiver.append(&latest("a"), "a5"), Appended::Queued(true), "the old one is sent");
    }

    #[test]
    fn latest_replaces_nothing_of_another_room_sender_or_event() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "L");
        receiver.append_to("r", None, &latest("k"), "1");
        receiver.append_to("s", None, &latest("k"), "2");
        receiver.append(&latest("k"), "3");
        let policy = OverflowPolicy::Latest(LatestKey::Event);
        let (ann, bob) = (SocketId::random(), SocketId::random());
        let moved = |name: &str, sender, text| {
            let event = Event {
                name: Name::new(name).unwrap(),
                data: Payload::NULL,
                sender,
                time_ms: 0,
                trace: None,
            };
            let message = Message { policy: &policy, event: Some(&event), room: None, position: None };
            receiver.append_message(text, message).0
        };
        assert_ne!(moved("moved", Some(ann), "4"), Appended::Replaced);
        assert_ne!(moved("moved", Some(bob), "5"), Appended::Replaced);
        assert_ne!(moved("k", None, "6"), Appended::Replaced);
        assert_eq!(moved("moved", Some(ann), "7"), Appended::Replaced);
        assert_eq!(receiver.received(), "L123756");
    }

    #[test]
    fn a_larger_replacement_makes_room_as_any_frame_does() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "LLL");
        receiver.append(&latest("a"), "a1");
        receiver.append(&latest("b"), "b1");
        assert_eq!(receiver.append(&latest("b"), "b22222"), Appended::Dropped, "even without the others");
        assert_eq!(receiver.append(&latest("b"), "b333"), Appended::Behind(false));
        assert_eq!(receiver.received(), "LLLb333");
    }

    #[test]
    fn losses_are_counted_by_room_and_reported_once() {
        let receiver = Receiver::new();
        receiver.append(&OverflowPolicy::Live, "12345678");
        let volatile = Message::with_policy(&OverflowPolicy::Volatile);
        assert_eq!(receiver.append_message("v", volatile), (Appended::Dropped, true));
        assert_eq!(receiver.append_message("v", volatile), (Appended::Dropped, false), "the owner knows");
        for n in 0..40 {
            receiver.append_to(&format!("r{n}"), None, &OverflowPolicy::Volatile, "v");
        }
        let losses = receiver.losses();
        assert_eq!(losses.len(), LOSS_ROOMS_MAX);
        assert_eq!(losses.iter().map(|loss| loss.1).sum::<u64>(), 42);
        let number = receiver.outbox.overflow_number().unwrap();
        assert!(receiver.outbox.finish_overflow(number));
        assert_eq!(receiver.append_message("v", volatile), (Appended::Dropped, true));
        assert!(!receiver.outbox.finish_overflow(number), "there is another loss");
        receiver.outbox.suspend();
        assert!(receiver.outbox.finish_overflow(number) && receiver.outbox.take_losses(number).is_empty());
    }

    #[test]
    fn a_receiver_lags_behind_a_message_of_a_history_and_catches_up_without_a_hole() {
        let receiver = Receiver::new();
        let live = &OverflowPolicy::Live;
        receiver.append_to("r", Some(at(1)), live, "11111");
        assert_eq!(receiver.append_to("r", Some(at(2)), live, "2222"), Appended::Lagging);
        assert_eq!(
            receiver.append_to("r", Some(at(3)), live, "3"),
            Appended::Lagging,
            "although it would fit"
        );
        assert_eq!(receiver.append_to("s", Some(at(9)), live, "s"), Appended::Behind(false), "another room");
        let number = receiver.outbox.overflow_number().unwrap();
        let lag = receiver.outbox.lag(number).unwrap();
        assert_eq!((lag.after, lag.skipped), (at(1), at(3)));
        let two = Bytes::from_static(b"2222");
        let catch_up = |offset, frame| receiver.outbox.catch_up(number, &room("r"), at(offset), frame, 4);
        assert_eq!(catch_up(2, Some(&two)), CaughtUp::Full);
        assert_eq!(receiver.received(), "11111s");
        assert_eq!(catch_up(2, Some(&two)), CaughtUp::Queued(true));
        assert_eq!(receiver.append_to("r", Some(at(4)), live, "4"), Appended::Lagging);
        assert!(!receiver.outbox.end_lag(number, &lag), "4 was skipped since");
        assert_eq!(receiver.received(), "2222");
        assert_eq!(catch_up(3, None), CaughtUp::Queued(false));
        assert_eq!(catch_up(4, Some(&two)), CaughtUp::Queued(true));
        assert_eq!(catch_up(5, Some(&two)), CaughtUp::Ended);
        assert_eq!(
            receiver.append_to("r", Some(at(5)), live, "5"),
            Appended::Behind(false),
            "it has caught up"
        );
        assert_eq!(receiver.received(), "22225");
    }

    #[test]
    fn a_lag_ends_with_its_room_and_with_its_connection() {
        let receiver = Receiver::new();
        let live = &OverflowPolicy::Live;
        receiver.append(live, "12345678");
        receiver.append_to("r", Some(at(2)), live, "2");
        receiver.append_to("s", Some(at(2)), live, "2");
        let number = receiver.outbox.overflow_number().unwrap();
        receiver.outbox.forget_lag(&room("r"));
        assert_eq!(receiver.outbox.lag(number).unwrap().room, room("s"));
        receiver.outbox.suspend();
        assert_eq!(receiver.outbox.lag(number), None);
        assert_eq!(receiver.outbox.overflow_number(), None);
    }
}
