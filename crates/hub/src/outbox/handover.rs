//! The outbox between two connections of one session: without a transport it refuses frames.

use std::sync::Arc;

use crate::outbox::{Outbox, Transport};

impl Outbox {
    /// Drops the transport and the queue until [`attach`](Self::attach). Returns how many data frames were dropped.
    pub(crate) fn suspend(&self) -> usize {
        let mut state = self.lock();
        // A pause outlasts the connection, because its owner will still end it.
        let mut held = state.held.take();
        let held_back = held.as_mut().map_or(0, |held| held.drop_frames());
        state.clear();
        (state.held, state.closing, state.overflowed, state.blocked) = (held, false, false, false);
        let transport = state.transport.take();
        let unsent = usize::from(std::mem::take(&mut state.unsent));
        drop(state);
        drop(transport);
        unsent + held_back
    }

    /// Sends through a new transport from now on. A flush counts as scheduled: the caller must flush. Returns false
    /// while a flush through the previous transport has not ended, or if the outbox has a transport.
    pub(crate) fn attach(&self, transport: &Arc<dyn Transport>) -> bool {
        let mut state = self.lock();
        if state.sending || state.transport.is_some() {
            return false;
        }
        state.transport = Some(transport.clone());
        state.scheduled = true;
        // The old connection may have been aborted after it had ended.
        state.closing = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use bytes::Bytes;
    use switchboard_event::OverflowPolicy;

    use super::*;
    use crate::outbox::{Appended, Bound, DroppedFrames, Message, Placement};

    #[derive(Default)]
    struct Sent(Mutex<Vec<u8>>);

    impl Transport for Sent {
        fn send(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn wake_owner(&self) {}
    }

    fn append(outbox: &Outbox, text: &'static str) -> Appended {
        let frame = Bytes::from_static(text.as_bytes());
        let (overflow_frame, dropped) = (Bytes::from_static(b"!"), DroppedFrames::default());
        let bound = Bound { bytes_max: 8, overflow_frame: &overflow_frame, dropped: &dropped };
        outbox.append(&frame, Message::with_policy(&OverflowPolicy::Live), Placement::Next, bound).0
    }

    #[test]
    fn a_suspended_outbox_refuses_frames_until_it_has_a_new_transport() {
        let (first, second) = (Arc::new(Sent::default()), Arc::new(Sent::default()));
        let outbox = Outbox::new(first.clone());
        append(&outbox, "lost");
        assert_eq!(append(&outbox, "over the bound"), Appended::Overflowed);
        assert_eq!(outbox.suspend(), 1);
        assert!(!outbox.is_closing() && !outbox.has_overflowed());
        assert_eq!(append(&outbox, "missed"), Appended::Closed);
        let transport: Arc<dyn Transport> = second.clone();
        assert!(outbox.attach(&transport) && !outbox.attach(&transport));
        assert_eq!(append(&outbox, "new"), Appended::Queued(false), "a flush is scheduled");
        outbox.flush(&mut Vec::new());
        assert_eq!((&**first.0.lock().unwrap(), &**second.0.lock().unwrap()), (&b""[..], &b"new"[..]));
    }

    #[test]
    fn an_abort_that_comes_too_late_does_not_end_the_next_connection() {
        let outbox = Outbox::new(Arc::new(Sent::default()));
        outbox.suspend();
        outbox.abort();
        let transport: Arc<dyn Transport> = Arc::new(Sent::default());
        assert!(outbox.attach(&transport) && !outbox.is_closing());
    }

    #[test]
    fn a_pause_outlasts_the_connection_and_its_frames_do_not() {
        let (first, second) = (Arc::new(Sent::default()), Arc::new(Sent::default()));
        let outbox = Outbox::new(first);
        outbox.pause();
        append(&outbox, "lost");
        assert_eq!(outbox.suspend(), 1);
        outbox.pause();
        let transport: Arc<dyn Transport> = second.clone();
        assert!(outbox.attach(&transport));
        outbox.resume(|_| false);
        assert_eq!(append(&outbox, "held"), Appended::Paused, "the second pause is in effect");
        outbox.resume(|_| false);
        outbox.flush(&mut Vec::new());
        assert_eq!(&**second.0.lock().unwrap(), b"held");
    }

    #[test]
    fn a_flush_through_the_old_transport_takes_nothing_from_the_queue_of_the_new_one() {
        let (first, second) = (Arc::new(Sent::default()), Arc::new(Sent::default()));
        let outbox = Outbox::new(first);
        append(&outbox, "old");
        outbox.flush_by(&mut Vec::new(), |batch| {
            outbox.suspend();
            let transport: Arc<dyn Transport> = second.clone();
            assert!(!outbox.attach(&transport), "a flush is running");
            Ok(batch.len())
        });
        let transport: Arc<dyn Transport> = second.clone();
        assert!(outbox.attach(&transport));
        append(&outbox, "new");
        outbox.flush(&mut Vec::new());
        assert_eq!(&**second.0.lock().unwrap(), b"new");
    }
}
