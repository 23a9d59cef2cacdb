//! Rate limits of one connection: frames and bytes per second.
//!
//! Bytes are counted when they are read, and frames when they are decoded, so control frames and the parts of
//! an unfinished message count like complete messages. The clock is read once per read, not once per frame.

use std::time::Instant;

use crate::node::limits::Limits;

/// Length of the burst: four seconds' worth of frames or bytes pass at once.
const BURST_S: f64 = 4.0;

/// The allowance of one connection.
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

    /// Adds the allowance of the time since the last call, and counts the bytes of one read.
    pub(crate) fn read(&mut self, bytes: usize, limits: &Limits, now: Instant) -> Result<(), RateError> {
        let elapsed_s = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        refill(&mut self.frames, limits.messages_per_s, elapsed_s);
        refill(&mut self.bytes, limits.bytes_per_s, elapsed_s);
        take(&mut self.bytes, bytes, limits.bytes_per_s).map_err(RateError::Bytes)
    }

    /// Counts decoded frames: messages, fragments and control frames.
    pub(crate) fn frames(&mut self, count: u32, limits: &Limits) -> Result<(), RateError> {
        take(&mut self.frames, count as usize, limits.messages_per_s).map_err(RateError::Messages)
    }

    /// Counts the recipients that an admitted message names: it counts as one message for each.
    pub(crate) fn recipients(&mut self, recipients: usize, limits: &Limits) -> Result<(), RateError> {
        let more = recipients.saturating_sub(1);
        take(&mut self.frames, more, limits.messages_per_s).map_err(RateError::Recipients)
    }

    /// Uncounts a frame that the server has asked for.
    pub(crate) fn give_back_frame(&mut self) {
        self.frames += 1.0;
    }
}

fn burst(per_s: Option<u32>) -> f64 {
    f64::from(per_s.unwrap_or(0)) * BURST_S
}

fn refill(allowance: &mut f64, per_s: Option<u32>, elapsed_s: f64) {
    *allowance = (*allowance + elapsed_s * f64::from(per_s.unwrap_or(0))).min(burst(per_s));
}

/// The error is the limit that is exceeded.
fn take(allowance: &mut f64, amount: usize, per_s: Option<u32>) -> Result<(), u32> {
    let Some(per_s) = per_s else { return Ok(()) };
    *allowance -= amount as f64;
    if *allowance < 0.0 { Err(per_s) } else { Ok(()) }
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
        throttle.frames(40, &limits).unwrap();
        assert_eq!(throttle.frames(1, &limits), Err(RateError::Messages(10)));
        throttle.read(usize::MAX, &limits, now + Duration::from_secs(1)).unwrap();
        assert_eq!(throttle.frames(9, &limits), Ok(()));
        assert_eq!(throttle.frames(1, &limits), Err(RateError::Messages(10)));
    }

    #[test]
    fn a_message_counts_as_one_for_each_recipient() {
        let limits = Limits { messages_per_s: Some(10), bytes_per_s: None, ..Limits::default() };
        let mut throttle = Throttle::new(&limits, start());
        for recipients in [0, 1, 38] {
            throttle.frames(1, &limits).unwrap();
            throttle.recipients(recipients, &limits).unwrap();
        }
        let reason = throttle.recipients(2, &limits).unwrap_err().to_string();
        assert_eq!(reason, "over 10 messages per second; each recipient counts as one");
    }

    #[test]
    fn every_byte_counts_however_small_the_reads_are() {
        let limits = Limits::default();
        let now = start();
        let mut throttle = Throttle::new(&limits, now);
        let burst = 4 * limits.bytes_per_s.unwrap() as usize;
        throttle.read(burst - 3, &limits, now).unwrap();
        for _ in 0..3 {
            throttle.read(1, &limits, now).unwrap();
        }
        let error = throttle.read(1, &limits, now).unwrap_err();
        assert_eq!(error.to_string(), "over 16777216 bytes per second");
    }
}
