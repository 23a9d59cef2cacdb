//! The holder of an inbox: the one socket that receives a user's stored messages. A socket that waits for the inbox
//! detects here that the holder has stopped acknowledging, and takes over.
//!
//! Progress is visible as a change of the oldest stored message. Every node can read it, and the holder writes
//! nothing extra.

use std::time::Duration;

use switchboard_event::{MessageNumber, SocketId};

/// How long the oldest message may stay the same, in addition to the redelivery interval, before another
/// socket takes over.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval at which the inbox is read while another socket holds it.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Observes the socket that holds an inbox.
#[derive(Default)]
pub(crate) struct HolderWatch {
    last: Option<(SocketId, Option<MessageNumber>)>,
    unchanged_for: Duration,
}

impl HolderWatch {
    /// Records an observation. Returns true if nothing was acknowledged for too long, for example because
    /// the client is a phone that has changed its network.
    pub(crate) fn is_stalled(
        &mut self,
        id: SocketId,
        oldest: Option<MessageNumber>,
        interval: Duration,
    ) -> bool {
        if self.last.replace((id, oldest)) == Some((id, oldest)) {
            self.unchanged_for += POLL_INTERVAL;
        } else {
            self.unchanged_for = Duration::ZERO;
        }
        self.unchanged_for >= STALL_TIMEOUT + interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of observations until the socket counts as stalled, if it ever does.
    fn polls_until_stalled(
        oldest: impl Fn(usize) -> u64,
        id: impl Fn(usize) -> SocketId,
        interval: Duration,
    ) -> Option<usize> {
        let mut watch = HolderWatch::default();
        (0..1000).find(|poll| watch.is_stalled(id(*poll), Some(MessageNumber(oldest(*poll))), interval))
    }

    #[test]
    fn a_socket_without_acknowledgements_for_two_seconds_and_the_interval_is_stalled() {
        let one = SocketId::random();
        assert_eq!(polls_until_stalled(|_| 1, |_| one, Duration::ZERO), Some(40));
        assert_eq!(polls_until_stalled(|poll| (poll > 30).into(), |_| one, Duration::ZERO), Some(31 + 40));
        assert_eq!(polls_until_stalled(|_| 1, |_| one, Duration::from_secs(1)), Some(60));
    }

    #[test]
    fn a_socket_that_acknowledges_within_two_seconds_is_never_stalled() {
        let one = SocketId::random();
        assert_eq!(polls_until_stalled(|poll| (poll / 39) as u64, |_| one, Duration::ZERO), None);
    }

    #[test]
    fn each_new_holder_gets_the_full_timeout() {
        let (one, other) = (SocketId::random(), SocketId::random());
        let id = |poll| if poll < 39 { one } else { other };
        assert_eq!(polls_until_stalled(|_| 1, id, Duration::ZERO), Some(39 + 40));
    }
}
