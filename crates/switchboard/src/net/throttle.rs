//! Rate limits of one connection: frames and bytes per second.
//!
//! Bytes are counted when they are read, and frames when they are decoded, so control frames and the parts of
//! an unfinished message count like complete messages. The clock and the limits are read once per read, not once per
//! frame.

use std::time::Instant;

use crate::node::limits::Limits;

/// Length of the burst: four seconds' worth of frames or bytes pass at once.
const BURST_S: f64 = 4.0;

/// The allowance of one connection. It is negative if the peer has exceeded it, and infinite without a limit.
pub(crate) struct Throttle {
    frames: f64,
    bytes: f64,
    refilled: Instant,
}

/// The peer sent more than its limits allow. The text is the reason for the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RateError {
    #[error("over {0} messages per second")]
    Messages(u32),
    #[error("over {0} bytes per second")]
    Bytes(u32),
    #[error("over {0} messages per second; each recipient counts as one")]
    Recipients(u32),
}

impl Throttle {
    /// An allowance of one burst.
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        Throttle { frames: burst(limits.messages_per_s), bytes: burst(limits.bytes_per_s), refilled: now }
    }

    /// Adds the allowance of the time since the last call, and counts the bytes of one read. Returns false if the peer
    /// exceeds its rate.
    pub(crate) fn count_bytes(&mut self, bytes: usize, limits: &Limits, now: Instant) -> bool {
        let elapsed_s = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        refill(&mut self.frames, limits.messages_per_s, elapsed_s);
        refill(&mut self.bytes, limits.bytes_per_s, elapsed_s);
        take(&mut self.bytes, bytes)
    }

    /// Counts decoded frames: messages, fragments and control frames. Returns false if the peer exceeds its rate.
    pub(crate) fn count_frames(&mut self, count: u32) -> bool {
        take(&mut self.frames, count as usize)
    }

    /// Counts the recipients that an admitted message names: it counts as one message for each. Returns false if the
    /// peer exceeds its rate.
    pub(crate) fn count_recipients(&mut self, recipients: usize) -> bool {
        take(&mut self.frames, recipients.saturating_sub(1))
    }

    /// Uncounts a frame that the server has asked for.
    pub(crate) fn give_back_frame(&mut self) {
        self.frames += 1.0;
    }
}

fn burst(per_s: Option<u32>) -> f64 {
    per_s.map_or(f64::INFINITY, |per_s| f64::from(per_s) * BURST_S)
}

fn refill(allowance: &mut f64, per_s: Option<u32>, elapsed_s: f64) {
    *allowance =
        per_s.map_or(f64::INFINITY, |rate| (*allowance + elapsed_s * f64::from(rate)).min(burst(per_s)));
}

fn take(allowance: &mut f64, amount: usize) -> bool {
    *allowance -= amount as f64;
    *allowance >= 0.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own origin of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let limits = Limits { messages_per_s: Some(10), bytes_per_s: None, ..Limits::default() };
        let now = start();
        let mut throttle = Throttle::new(&limits, now);
        assert!(throttle.count_frames(40) && !throttle.count_frames(1));
        assert!(
            throttle.count_bytes(usize::MAX, &limits, now + Duration::from_secs(1)),
            "bytes have no limit"
        );
        assert!(throttle.count_frames(9) && !throttle.count_frames(1));
    }

    #[test]
    fn a_message_counts_as_one_for_each_recipient() {
        let limits = Limits { messages_per_s: Some(10), bytes_per_s: None, ..Limits::default() };
        let mut throttle = Throttle::new(&limits, start());
        for recipients in [0, 1, 38] {
            assert!(throttle.count_frames(1) && throttle.count_recipients(recipients));
        }
        assert!(throttle.count_recipients(1) && !throttle.count_recipients(2));
    }

    #[test]
    fn every_byte_counts_however_small_the_reads_are() {
        let limits = Limits::default();
        let now = start();
        let mut throttle = Throttle::new(&limits, now);
        let burst = 4 * limits.bytes_per_s.unwrap() as usize;
        assert!(throttle.count_bytes(burst - 3, &limits, now));
        for _ in 0..3 {
            assert!(throttle.count_bytes(1, &limits, now));
        }
        assert!(!throttle.count_bytes(1, &limits, now));
    }

    #[test]
    fn a_limit_that_is_replaced_applies_from_the_next_read() {
        let limit = |per_s| Limits { messages_per_s: per_s, ..Limits::default() };
        let now = start();
        let mut throttle = Throttle::new(&limit(None), now);
        assert!(throttle.count_frames(u32::MAX) && throttle.count_frames(u32::MAX));
        throttle.count_bytes(0, &limit(Some(10)), now);
        assert!(throttle.count_frames(40) && !throttle.count_frames(1));
        throttle.count_bytes(0, &limit(None), now);
        assert!(throttle.count_frames(u32::MAX));
        throttle.count_bytes(0, &limit(Some(1)), now);
        assert!(throttle.count_frames(4) && !throttle.count_frames(1));
    }
}
