//! The delay before a reconnect.

use std::time::Duration;

/// The delay before try `attempt`, counted from 0: uniformly distributed between zero and `delay` · 2^`attempt`, at
/// most `max` (full jitter). Clients of a restarted server therefore do not reconnect in step. `random` is between
/// 0 and 1.
pub(crate) fn delay_before(attempt: u32, delay: Duration, max: Duration, random: f64) -> Duration {
    let ceiling = delay.saturating_mul(2_u32.saturating_pow(attempt)).min(max);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_delay_doubles_up_to_its_maximum_and_jitter_shortens_it() {
        let (delay, max) = (Duration::from_secs(1), Duration::from_secs(30));
        let ceilings: Vec<u64> =
            (0..7).map(|attempt| delay_before(attempt, delay, max, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(delay_before(3, delay, max, 0.25), Duration::from_secs(2));
        assert_eq!(delay_before(u32::MAX, delay, max, 0.0), Duration::ZERO);
    }
}
