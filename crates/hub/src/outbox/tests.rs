use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard_event::OverflowPolicy;

use super::*;

/// Accepts at most `room` bytes in total.
#[derive(Default)]
struct LimitedTransport {
    accepted: Mutex<Vec<u8>>,
    room: AtomicUsize,
    woken: AtomicUsize,
}

impl LimitedTransport {
    fn with_room(room: usize) -> Arc<Self> {
        Arc::new(LimitedTransport { room: room.into(), ..LimitedTransport::default() })
    }

    fn accepted(&self) -> Vec<u8> {
        self.accepted.lock().unwrap().clone()
    }
}

impl Transport for LimitedTransport {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = room.min(bytes.len());
        self.room.fetch_sub(sent, Ordering::Relaxed);
        self.accepted.lock().unwrap().extend_from_slice(&bytes[..sent]);
        Ok(sent)
    }

    fn wake_owner(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

const OVERFLOW: Bytes = Bytes::from_static(b"!");

fn append_frame(
    outbox: &Outbox,
    frame: &Bytes,
    policy: OverflowPolicy,
    placement: Placement,
    bytes_max: usize,
) -> Appended {
    let bound = Bound { bytes_max, overflow_frame: &OVERFLOW, dropped: &DroppedFrames::default() };
    outbox.append(frame, Message::with_policy(&policy), placement, bound).0
}

fn append(outbox: &Outbox, text: &'static str) -> Appended {
    append_with_order(outbox, Placement::Next, text)
}

#[test]
fn frames_keep_their_order_over_short_sends() {
    for room in 1..9 {
        let transport = LimitedTransport::with_room(room);
        let outbox = Outbox::new(transport.clone());
        assert_eq!(append(&outbox, "abc"), Appended::Queued(true));
        assert_eq!(append(&outbox, "de"), Appended::Behind(false));
        assert_eq!(append(&outbox, "fgh"), Appended::Behind(false));
        let mut scratch = Vec::new();
        while outbox.flush(&mut scratch).0 == Flushed::More {}
        if room < 8 {
            assert!(outbox.is_blocked());
            transport.room.store(100, Ordering::Relaxed);
            while outbox.flush_by(&mut scratch, |bytes| transport.send(bytes)).0 != Flushed::Done {}
        }
        assert_eq!(transport.accepted(), b"abcdefgh");
        assert_eq!(outbox.queued_bytes(), 0);
    }
}

#[test]
fn large_frames_are_sent_without_a_copy_however_short_the_sends_are() {
    const LARGE: usize = 64 * 1024;
    let frames = [b'a', b'b', b'c'].map(|byte| Bytes::from(vec![byte; LARGE]));
    let outboxes: Vec<_> = (0..3).map(|_| Outbox::new(LimitedTransport::with_room(0))).collect();
    let mut scratch = Vec::new();
    for (outbox, step) in outboxes.iter().zip([1000, 10_000, LARGE]) {
        for frame in &frames {
            append_frame(outbox, frame, OverflowPolicy::Live, Placement::Next, 1024 * 1024);
        }
        let mut received = Vec::new();
        while outbox.queued_bytes() > 0 {
            outbox.flush_by(&mut scratch, |batch| {
                let is_part = |frame: &Bytes| frame.as_ptr_range().contains(&batch.as_ptr());
                assert!(frames.iter().any(is_part), "a batch of {} bytes is a copy", batch.len());
                let sent = step.min(batch.len());
                received.extend_from_slice(&batch[..sent]);
                Ok(sent)
            });
        }
        assert_eq!(received, frames.concat());
    }
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn at_the_bound_a_volatile_frame_is_dropped_and_a_live_one_closes_after_the_queue() {
    let transport = LimitedTransport::with_room(100);
    let outbox = Outbox::new(transport.clone());
    append(&outbox, "12345678");
    let more = Bytes::from_static(b"9");
    assert_eq!(append_frame(&outbox, &more, OverflowPolicy::Volatile, Placement::Next, 8), Appended::Dropped);
    assert_eq!(append(&outbox, "9"), Appended::Overflowed);
    assert_eq!(append(&outbox, "x"), Appended::Closed);
    while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
    assert_eq!(transport.accepted(), b"12345678!");
}

#[test]
fn an_empty_outbox_accepts_one_frame_over_the_bound() {
    let outbox = Outbox::new(LimitedTransport::with_room(0));
    assert_eq!(append(&outbox, "far over the bound"), Appended::Queued(true));
    assert_eq!(append(&outbox, "x"), Appended::Overflowed);
}

fn append_with_order(outbox: &Outbox, placement: Placement, text: &'static str) -> Appended {
    append_frame(outbox, &Bytes::from_static(text.as_bytes()), OverflowPolicy::Live, placement, 8)
}

#[test]
fn an_almost_empty_outbox_accepts_a_frame_over_the_bound_and_then_an_unbounded_one() {
    let append = |outbox: &Outbox, placement, bytes: usize| {
        append_frame(outbox, &vec![b'x'; bytes].into(), OverflowPolicy::Live, placement, 1024)
    };
    let outbox = Outbox::new(LimitedTransport::with_room(0));
    assert_eq!(append(&outbox, Placement::Next, 4), Appended::Queued(true));
    assert_eq!(append(&outbox, Placement::Ahead, 2000), Appended::Behind(false));
    assert_eq!(append(&outbox, Placement::Unbounded, 14), Appended::Behind(false));
    assert_eq!(append(&outbox, Placement::Ahead, 14), Appended::Overflowed);
    let outbox = Outbox::new(LimitedTransport::with_room(0));
    assert_eq!(append(&outbox, Placement::Next, 5), Appended::Queued(true));
    assert_eq!(
        append(&outbox, Placement::Next, 1020),
        Appended::Overflowed,
        "5 of 1,024 bytes are not almost empty"
    );
}

#[test]
fn frames_of_slots_pass_the_bound_and_a_pause_and_close_nothing() {
    let transport = LimitedTransport::with_room(0);
    let outbox = Outbox::new(transport.clone());
    let latest = |slot, text| append_with_order(&outbox, Placement::Slot(slot), text);
    assert_eq!(latest(Slot::State, "a list over the bound"), Appended::Queued(true));
    assert_eq!(append(&outbox, "12345678"), Appended::Queued(false), "the list does not count");
    assert_eq!(latest(Slot::State, "an old list"), Appended::Queued(false));
    assert_eq!(latest(Slot::Probe, "?"), Appended::Queued(false), "although the outbox is full");
    assert_eq!(latest(Slot::Probe, "?"), Appended::Replaced);
    assert_eq!(latest(Slot::State, "a new list"), Appended::Replaced);
    assert_eq!((outbox.bounded_bytes(), outbox.queued_bytes()), (8, 40));
    outbox.pause();
    assert_eq!(latest(Slot::State, "the last list"), Appended::Replaced);
    let mut kept = Vec::new();
    outbox.for_each_frame(|frame| kept.extend_from_slice(frame));
    assert_eq!(kept.len(), 21 + 8 + 13 + 1);
    assert_eq!(append(&outbox, "9"), Appended::Overflowed, "an event counts");
    assert_eq!(latest(Slot::State, "no list"), Appended::Closed);
    transport.room.store(100, Ordering::Relaxed);
    while outbox.flush_by(&mut Vec::new(), |bytes| transport.send(bytes)).0 != Flushed::Done {}
    assert_eq!(transport.accepted(), b"a list over the bound12345678the last list?!");
}

#[test]
fn a_receiver_is_behind_above_half_of_the_bound_until_it_has_accepted_the_rest() {
    let transport = LimitedTransport::with_room(0);
    let outbox = Outbox::new(transport.clone());
    assert_eq!(append(&outbox, "1234"), Appended::Queued(true));
    assert_eq!(append(&outbox, "5"), Appended::Behind(false));
    outbox.pause();
    assert_eq!(append(&outbox, "6"), Appended::Behind(false), "held-back frames count");
    outbox.resume(|_| false);
    let backlog = outbox.backlog();
    assert_eq!(backlog.bytes, 6);
    transport.room.store(3, Ordering::Relaxed);
    outbox.flush(&mut Vec::new());
    assert_eq!(outbox.backlog(), Backlog { bytes: 3, sent: backlog.sent + 3 });
    assert_eq!(append(&outbox, "7"), Appended::Queued(false));
    outbox.abort();
    assert_eq!(outbox.backlog().bytes, 0, "nobody waits for a socket that is closing");
}

#[test]
fn one_large_frame_is_no_sign_of_a_slow_receiver() {
    let outbox = Outbox::new(LimitedTransport::with_room(0));
    assert_eq!(append(&outbox, "12345678"), Appended::Queued(true));
}

#[test]
fn a_socket_that_keeps_too_much_in_memory_is_closed_after_the_queue() {
    let transport = LimitedTransport::with_room(100);
    let outbox = Outbox::new(transport.clone());
    append(&outbox, "abc");
    assert!(outbox.overflow(OVERFLOW) && !outbox.overflow(OVERFLOW) && outbox.has_overflowed());
    while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
    assert_eq!(transport.accepted(), b"abc!");
}

#[test]
fn held_back_frames_follow_the_last_resume_without_redelivered_messages() {
    let transport = LimitedTransport::with_room(100);
    let outbox = Outbox::new(transport.clone());
    outbox.pause();
    outbox.pause();
    assert_eq!(append_with_order(&outbox, Placement::Next, "c"), Appended::Paused);
    assert_eq!(append_with_order(&outbox, Placement::Stored(MessageNumber(1)), "1"), Appended::Paused);
    assert_eq!(append_with_order(&outbox, Placement::Stored(MessageNumber(2)), "2"), Appended::Paused);
    assert_eq!(append_with_order(&outbox, Placement::Ahead, "a"), Appended::Queued(true));
    assert!(!outbox.resume(|number| number == MessageNumber(1)), "another pause is in effect");
    assert_eq!(append_with_order(&outbox, Placement::Ahead, "b"), Appended::Behind(false));
    outbox.resume(|_| false);
    assert_eq!(append_with_order(&outbox, Placement::Next, "d"), Appended::Behind(false));
    while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
    assert_eq!(transport.accepted(), b"abc2d");
}

#[test]
fn held_back_frames_count_against_the_bound_and_precede_the_close_frame() {
    let transport = LimitedTransport::with_room(100);
    let outbox = Outbox::new(transport.clone());
    outbox.pause();
    assert_eq!(append_with_order(&outbox, Placement::Next, "12345678"), Appended::Paused);
    assert_eq!(append_with_order(&outbox, Placement::Ahead, "9"), Appended::Overflowed);
    outbox.resume(|_| false);
    while outbox.flush(&mut Vec::new()).0 == Flushed::More {}
    assert_eq!(transport.accepted(), b"12345678!");
}

#[test]
fn an_append_while_a_flush_is_scheduled_schedules_no_other() {
    let outbox = Outbox::new(LimitedTransport::with_room(100));
    outbox.mark_flush_scheduled();
    assert_eq!(append(&outbox, "a"), Appended::Queued(false));
}

#[test]
fn data_frames_that_an_abort_drops_are_counted_at_the_end() {
    let outbox = Outbox::new(LimitedTransport::with_room(0));
    append(&outbox, "a");
    append_with_order(&outbox, Placement::Ahead, "\x09");
    outbox.pause();
    append(&outbox, "b");
    append_with_order(&outbox, Placement::Stored(MessageNumber(1)), "1");
    outbox.abort();
    assert_eq!(outbox.detach(), 2, "neither the ping nor the stored message");
}

#[test]
fn a_detached_outbox_refuses_frames_and_drops_its_transport() {
    let transport = LimitedTransport::with_room(0);
    let outbox = Outbox::new(transport.clone());
    append(&outbox, "abc");
    append(&outbox, "de");
    assert_eq!(outbox.detach(), 2);
    assert_eq!(outbox.detach(), 0);
    assert_eq!(Arc::strong_count(&transport), 1);
    assert_eq!(append(&outbox, "a"), Appended::Closed);
    assert_eq!(outbox.flush(&mut Vec::new()), (Flushed::Done, 0));
}
