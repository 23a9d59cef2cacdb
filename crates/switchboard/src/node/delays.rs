//! For how long a receiver may delay its senders.

use std::time::{Duration, Instant};

use crate::node::limits::Limits;

/// A receiver that accepts nothing for this long while a sender waits has stopped. Senders wait for it again once it
/// accepts something.
const STOPPED_AFTER: Duration = Duration::from_secs(3);

/// The period in which a used budget is restored.
const BUDGET_PERIOD: u32 = 60;

/// The time for which a receiver has delayed senders without reading fast enough. It is compared with a budget, and
/// shrinks while no sender waits.
pub(crate) struct Delays {
    used: Duration,
    /// Until when delays are counted. Several senders may wait at once; their time counts once.
    counted_until: Instant,
    /// Bytes that the receiver had accepted at that time, see [`Backlog::sent`](switchboard_hub::Backlog::sent).
    sent: usize,
    /// When it last accepted bytes, as far as senders have seen.
    progressed: Instant,
    /// Set when the receiver has accepted nothing for [`STOPPED_AFTER`]: the bytes that it had accepted until then.
    stopped_at: Option<usize>,
}

impl Delays {
    /// No delays until now, when the receiver has accepted this many bytes.
    pub(crate) fn new(now: Instant, sent: usize) -> Self {
        Delays { used: Duration::ZERO, counted_until: now, sent, progressed: now, stopped_at: None }
    }

    /// Counts the time during which a sender has waited. At its end the receiver had accepted `sent` bytes.
    pub(crate) fn add(&mut self, limits: &Limits, from: Instant, to: Instant, sent: usize) {
        let idle = from.saturating_duration_since(self.counted_until);
        if !idle.is_zero() {
            self.used = self.used.saturating_sub(restored(limits, idle));
            self.progressed = self.progressed.max(from);
        }
        let waited = to.saturating_duration_since(self.counted_until.max(from));
        let read_in = read_time(limits, sent.saturating_sub(self.sent));
        self.used = (self.used + waited).saturating_sub(read_in);
        if sent != self.sent {
            (self.sent, self.progressed, self.stopped_at) = (sent, to, None);
        } else if to.saturating_duration_since(self.progressed) >= STOPPED_AFTER {
            self.stopped_at = Some(sent);
        }
        self.counted_until = self.counted_until.max(to);
    }

    /// Returns true if senders may wait for the receiver, which has accepted `sent` bytes.
    pub(crate) fn may_delay(&self, limits: &Limits, sent: usize) -> bool {
        self.stopped_at != Some(sent) && self.used <= limits.stall_budget
    }

    /// Returns true once nothing of the budget is used any more.
    pub(crate) fn are_over(&self, limits: &Limits, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.counted_until);
        restored(limits, idle) >= self.used.min(limits.stall_budget) && idle >= STOPPED_AFTER
    }
}

/// The part of the budget that is restored in some time.
fn restored(limits: &Limits, idle: Duration) -> Duration {
    let part = idle.as_secs_f64() / f64::from(BUDGET_PERIOD);
    limits.stall_budget.mul_f64(part.min(1.0))
}

/// The time in which a receiver of the minimum speed accepts this many bytes.
fn read_time(limits: &Limits, bytes: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 / f64::from(limits.receiver_bytes_per_s_min.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::clock::now;

    const MS: Duration = Duration::from_millis(1);

    /// Waits for a receiver, 1 ms at a time, while it accepts bytes as `sent` returns them for each millisecond. Returns
    /// after how many milliseconds it may no longer delay its senders.
    fn delayed(delays: &mut Delays, limits: &Limits, start: Instant, sent: impl Fn(u32) -> usize) -> u32 {
        for ms in 1..=120_000 {
            delays.add(limits, start + MS * (ms - 1), start + MS * ms, sent(ms));
            if !delays.may_delay(limits, sent(ms)) {
                return ms;
            }
        }
        u32::MAX
    }

    #[test]
    fn a_receiver_of_a_slow_link_may_delay_without_a_limit() {
        let (limits, start) = (Limits::default(), now());
        // 1 Mbit/s: smoothly, and in pieces of 512 KiB as a kernel with large buffers accepts them.
        for piece in [125, 256 * 1024] {
            let sent = |ms| ms as usize * 125 / piece * piece;
            assert_eq!(delayed(&mut Delays::new(start, 0), &limits, start, sent), u32::MAX, "{piece}");
        }
    }

    #[test]
    fn a_receiver_that_accepts_nothing_has_stopped_until_it_accepts_something() {
        let (limits, start) = (Limits::default(), now());
        let mut delays = Delays::new(start, 7);
        assert_eq!(delayed(&mut delays, &limits, start, |_| 7), 3000);
        assert!(delays.may_delay(&limits, 8));
        let later = start + MS * 4000;
        assert!(delayed(&mut delays, &limits, later, |_| 8) > 2000, "it has accepted a byte");
    }

    #[test]
    fn a_receiver_that_dribbles_delays_for_its_budget_and_again_when_that_is_restored() {
        let (limits, start) = (Limits::default(), now());
        let dribble = |ms| ms as usize; // 1,000 bytes per second
        let mut delays = Delays::new(start, 0);
        let first = delayed(&mut delays, &limits, start, dribble);
        assert!((10_000..10_400).contains(&first), "{first}");
        assert!(!delays.are_over(&limits, start + MS * 20_000));
        let later = start + MS * (first + 30_000);
        let again = delayed(&mut delays, &limits, later, |ms| dribble(first + ms));
        assert!((4900..5400).contains(&again), "half of the budget is restored in 30 s: {again}");
        assert!(delays.are_over(&limits, later + MS * 90_000));
    }

    #[test]
    fn the_time_of_senders_that_wait_at_once_counts_once() {
        let (limits, start) = (Limits::default(), now());
        let mut delays = Delays::new(start, 0);
        for ms in 1..=2900 {
            for _ in 0..100 {
                delays.add(&limits, start + MS * (ms - 1), start + MS * ms, 0);
            }
        }
        assert!(delays.may_delay(&limits, 0));
        assert_eq!(delays.used, MS * 2900);
    }
}
