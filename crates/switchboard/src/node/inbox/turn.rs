//! Whether another socket of the user, which has the turn, still acknowledges messages.
//!
//! The oldest stored message changes while it does. Every node can read that, and it costs the holder
//! nothing.

use std::time::Duration;

use switchboard_event::{MessageNumber, SocketId};

/// How long the holder may acknowledge nothing, beside its pauses, before the next socket takes over.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How often the inbox is read while another socket has the turn.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The socket that has the turn, and its progress.
#[derive(Default)]
pub(crate) struct Holder {
    seen: Option<(SocketId, Option<MessageNumber>)>,
    unchanged: Duration,
}

impl Holder {
    /// Records an observation. Returns true if nothing was acknowledged for too long: the holder cannot be
    /// reached any more, such as a phone that has changed its network.
    pub(crate) fn is_stalled(
        &mut self,
        id: SocketId,
        oldest: Option<MessageNumber>,
        pause: Duration,
    ) -> bool {
        if self.seen.replace((id, oldest)) == Some((id, oldest)) {
            self.unchanged += LOOK_AGAIN;
        } else {
            self.unchanged = Duration::ZERO;
        }
        self.unchanged >= ANSWERS_WITHIN + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many observations the holder is found stalled, if ever.
    fn looks_until_stalled(
        oldest: impl Fn(usize) -> u64,
        id: impl Fn(usize) -> SocketId,
        pause: Duration,
    ) -> Option<usize> {
        let mut holder = Holder::default();
        (0..1000).find(|look| holder.is_stalled(id(*look), Some(MessageNumber(oldest(*look))), pause))
    }

    #[test]
    fn who_confirms_nothing_for_two_seconds_and_the_pause_is_stalled() {
        let one = SocketId::random();
        assert_eq!(looks_until_stalled(|_| 1, |_| one, Duration::ZERO), Some(40));
        assert_eq!(looks_until_stalled(|look| (look > 30).into(), |_| one, Duration::ZERO), Some(31 + 40));
        assert_eq!(looks_until_stalled(|_| 1, |_| one, Duration::from_secs(1)), Some(60));
    }

    #[test]
    fn a_holder_that_acknowledges_now_and_then_is_never_stalled() {
        let one = SocketId::random();
        assert_eq!(looks_until_stalled(|look| (look / 39) as u64, |_| one, Duration::ZERO), None);
    }

    #[test]
    fn each_new_holder_gets_the_whole_time() {
        let (one, other) = (SocketId::random(), SocketId::random());
        let id = |look| if look < 39 { one } else { other };
        assert_eq!(looks_until_stalled(|_| 1, id, Duration::ZERO), Some(39 + 40));
    }
}
