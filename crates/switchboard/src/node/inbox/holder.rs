//! Another socket of the user has the inbox: whether it still answers.
//!
//! What a socket confirms waits no more, so the oldest of what waits changes while it answers. That is
//! seen from every node, and costs who has the inbox nothing.

use std::time::Duration;

use switchboard_event::{MessageNumber, SocketId};

/// How long a socket that has the inbox may confirm nothing, beside the pauses it makes, before the next
/// one takes over.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How often is looked.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was seen of who has the inbox.
#[derive(Default)]
pub(super) struct Holder {
    seen: Option<(SocketId, Option<MessageNumber>)>,
    unchanged: Duration,
}

impl Holder {
    /// Takes in what is seen now. True if nothing was confirmed for too long: it cannot be reached any more,
    /// as a phone that has changed its network leaves its last socket without a word.
    pub(super) fn is_mute(&mut self, id: SocketId, oldest: Option<MessageNumber>, pause: Duration) -> bool {
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

    /// After how many looks it is found mute, if ever.
    fn looks_until_mute(
        oldest: impl Fn(usize) -> u64,
        id: impl Fn(usize) -> SocketId,
        pause: Duration,
    ) -> Option<usize> {
        let mut holder = Holder::default();
        (0..1000).find(|look| holder.is_mute(id(*look), Some(MessageNumber(oldest(*look))), pause))
    }

    #[test]
    fn who_confirms_nothing_for_two_seconds_and_the_pause_is_mute() {
        let one = SocketId::random();
        assert_eq!(looks_until_mute(|_| 1, |_| one, Duration::ZERO), Some(40));
        assert_eq!(looks_until_mute(|look| (look > 30).into(), |_| one, Duration::ZERO), Some(31 + 40));
        assert_eq!(looks_until_mute(|_| 1, |_| one, Duration::from_secs(1)), Some(60));
    }

    #[test]
    fn who_confirms_now_and_then_is_never_mute() {
        let one = SocketId::random();
        assert_eq!(looks_until_mute(|look| (look / 39) as u64, |_| one, Duration::ZERO), None);
    }

    #[test]
    fn each_new_holder_has_its_time() {
        let (one, other) = (SocketId::random(), SocketId::random());
        let id = |look| if look < 39 { one } else { other };
        assert_eq!(looks_until_mute(|_| 1, id, Duration::ZERO), Some(39 + 40));
    }
}
