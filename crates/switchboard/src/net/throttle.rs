//! Rate limits of one connection: messages and bytes per second.

use std::time::Instant;

use crate::node::limits::Limits;
use crate::node::rate::Bucket;

/// Length of the burst: four seconds' worth of messages or bytes pass at once.
const BURST_S: f32 = 4.0;

/// The token buckets of one connection.
pub(crate) struct Throttle {
    messages: Bucket,
    bytes: Bucket,
}

impl Throttle {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let burst = |per_s: Option<u32>| Bucket::full(per_s.unwrap_or(0) as f32 * BURST_S, now);
        Throttle { messages: burst(limits.messages_per_s), bytes: burst(limits.bytes_per_s) }
    }

    /// Counts one message. The error is the reason for the close frame.
    pub(crate) fn admit(&mut self, bytes: usize, limits: &Limits, now: Instant) -> Result<(), String> {
        if let Some(per_s) = exceeded(&mut self.messages, 1, limits.messages_per_s, now) {
            return Err(format!("over {per_s} messages per second"));
        }
        if let Some(per_s) = exceeded(&mut self.bytes, bytes, limits.bytes_per_s, now) {
            return Err(format!("over {per_s} bytes per second"));
        }
        Ok(())
    }

    /// Counts the recipients that an admitted message names: it counts as one message for each. The error is
    /// the reason for the close frame.
    pub(crate) fn admit_recipients(
        &mut self,
        recipients: usize,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), String> {
        if recipients <= 1 {
            return Ok(());
        }
        match exceeded(&mut self.messages, recipients - 1, limits.messages_per_s, now) {
            Some(per_s) => Err(format!("over {per_s} messages per second; each recipient counts as one")),
            None => Ok(()),
        }
    }
}

/// Takes tokens. Returns the rate if there are too few.
fn exceeded(bucket: &mut Bucket, amount: usize, per_s: Option<u32>, now: Instant) -> Option<u32> {
    let rate = per_s? as f32;
    let is_exceeded = !bucket.take(amount as f32, rate, rate * BURST_S, now);
    per_s.filter(|_| is_exceeded)
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
        for _ in 0..40 {
            throttle.admit(1, &limits, now).unwrap();
        }
        assert_eq!(throttle.admit(1, &limits, now).unwrap_err(), "over 10 messages per second");
        assert!(throttle.admit(1, &limits, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_message_counts_as_one_for_each_recipient() {
        let limits = Limits { messages_per_s: Some(10), bytes_per_s: None, ..Limits::default() };
        let now = start();
        let mut throttle = Throttle::new(&limits, now);
        for recipients in [0, 1, 38] {
            throttle.admit(1, &limits, now).unwrap();
            throttle.admit_recipients(recipients, &limits, now).unwrap();
        }
        let reason = throttle.admit_recipients(2, &limits, now).unwrap_err();
        assert_eq!(reason, "over 10 messages per second; each recipient counts as one");
    }
}
