//! Begins to watch a frame that is in an outbox.

use super::watches::{QueueEnd, Watch, is_same};
use crate::outbox::Outbox;

impl Outbox {
    /// Reports what becomes of a frame that was appended before. It may have left the outbox already.
    pub(crate) fn watch(&self, watch: Watch) {
        let mut state = self.lock();
        let held = state.held.iter().flat_map(|held| held.frames());
        let is_queued = state.queue.frames().chain(held).any(|frame| is_same(frame, &watch.frame));
        if is_queued {
            state.queue.watch(watch);
        } else if state.closing || state.transport.is_none() {
            watch.end(QueueEnd::Unsent);
        } else {
            watch.end(QueueEnd::Written);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use switchboard_event::{LatestKey, MessageNumber, OverflowPolicy, ProjectId, SocketId, TraceId};

    use super::*;
    use crate::outbox::{Bound, DroppedFrames, Message, Placement, QueueWatcher, Transport};

    /// Accepts as many bytes as a test allows.
    #[derive(Default)]
    struct Link(Mutex<usize>);

    impl Transport for Link {
        fn send(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut space = self.0.lock().unwrap();
            let sent = bytes.len().min(*space);
            *space -= sent;
            if sent == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(sent) }
        }

        fn wake_owner(&self) {}
    }

    #[derive(Default)]
    struct Ends(Mutex<Vec<(TraceId, QueueEnd)>>);

    impl QueueWatcher for Ends {
        fn left_queue(&self, trace: TraceId, _: &ProjectId, _: SocketId, end: QueueEnd) {
            self.0.lock().unwrap().push((trace, end));
        }
    }

    /// An outbox of 8 bytes whose frames are all traced.
    struct Receiver {
        link: Arc<Link>,
        outbox: Outbox,
        ends: Arc<Ends>,
    }

    impl Receiver {
        fn new() -> Self {
            let link = Arc::new(Link::default());
            Receiver { outbox: Outbox::new(link.clone()), link, ends: Arc::default() }
        }

        fn append(&self, text: &'static str, policy: &OverflowPolicy, placement: Placement) -> TraceId {
            let (overflow_frame, dropped) = (Bytes::from_static(b"!"), DroppedFrames::default());
            let bound = Bound { bytes_max: 8, overflow_frame: &overflow_frame, dropped: &dropped };
            let frame = Bytes::copy_from_slice(text.as_bytes());
            self.outbox.append(&frame, Message::with_policy(policy), placement, bound);
            let watch = self.watch_of(frame);
            let trace = watch.trace;
            self.outbox.watch(watch);
            trace
        }

        fn watch_of(&self, frame: Bytes) -> Watch {
            let (trace, socket) = (TraceId::random(), SocketId::random());
            let project = ProjectId::new("p").unwrap();
            Watch { frame, trace, project, socket, watcher: self.ends.clone() }
        }

        fn live(&self, text: &'static str) -> TraceId {
            self.append(text, &OverflowPolicy::Live, Placement::Next)
        }

        /// Lets the link accept `bytes`, and returns what was reported.
        fn send(&self, bytes: usize) -> Vec<(TraceId, QueueEnd)> {
            *self.link.0.lock().unwrap() = bytes;
            while self.outbox.flush_by(&mut Vec::new(), |batch| self.link.send(batch)).1 > 0 {}
            self.reported()
        }

        fn reported(&self) -> Vec<(TraceId, QueueEnd)> {
            std::mem::take(&mut self.ends.0.lock().unwrap())
        }
    }

    #[test]
    fn a_frame_is_reported_when_its_last_byte_is_accepted() {
        let receiver = Receiver::new();
        let (first, second) = (receiver.live("abc"), receiver.live("de"));
        assert_eq!(receiver.send(2), []);
        assert_eq!(receiver.send(1), [(first, QueueEnd::Written)]);
        assert_eq!(receiver.send(9), [(second, QueueEnd::Written)]);
        assert_eq!(receiver.send(9), []);
    }

    #[test]
    fn frames_that_are_never_sent_are_reported_with_the_reason() {
        let receiver = Receiver::new();
        let live = receiver.live("L");
        let latest = OverflowPolicy::Latest(LatestKey::Text("k".try_into().unwrap()));
        let older = receiver.append("a", &latest, Placement::Next);
        let newer = receiver.append("b", &latest, Placement::Next);
        assert_eq!(receiver.reported(), [(older, QueueEnd::Replaced)]);
        let large = receiver.live("1234567");
        assert_eq!(receiver.reported(), [(newer, QueueEnd::Dropped)]);
        receiver.outbox.suspend();
        assert_eq!(receiver.reported(), [(live, QueueEnd::Unsent), (large, QueueEnd::Unsent)]);
        let late = receiver.live("late");
        assert_eq!(receiver.reported(), [(late, QueueEnd::Unsent)], "there is no connection");
    }

    #[test]
    fn a_frame_that_is_held_back_is_reported_when_it_is_sent_or_redelivered() {
        let receiver = Receiver::new();
        receiver.outbox.pause();
        let stored = |number| Placement::Stored(MessageNumber(number));
        let redelivered = receiver.append("1", &OverflowPolicy::Live, stored(1));
        let held = receiver.append("2", &OverflowPolicy::Live, stored(2));
        assert_eq!(receiver.send(9), []);
        receiver.outbox.resume(|number| number == MessageNumber(1));
        assert_eq!(receiver.reported(), [(redelivered, QueueEnd::Redelivered)]);
        assert_eq!(receiver.send(9), [(held, QueueEnd::Written)]);
    }

    #[test]
    fn a_frame_that_left_before_it_was_watched_is_reported_at_once() {
        let receiver = Receiver::new();
        let watch = receiver.watch_of(Bytes::from_static(b"gone"));
        let trace = watch.trace;
        receiver.outbox.watch(watch);
        assert_eq!(receiver.reported(), [(trace, QueueEnd::Written)]);
    }
}
