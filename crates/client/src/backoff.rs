//! How long to wait before connecting again.

use std::time::Duration;

/// A wait before try `attempt`, counted from 0: evenly spread between nothing and the doubled delay
/// (full jitter), so that the clients of a server that restarts do not return in step. `random` is
/// between 0 and 1.
pub(crate) fn wait(attempt: u32, delay: Duration, max: Duration, random: f64) -> Duration {
    let ceiling = delay.saturating_mul(2_u32.saturating_pow(attempt)).min(max);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_most_and_jitter_spreads_below_it() {
        let (delay, max) = (Duration::from_secs(1), Duration::from_secs(30));
        let ceilings: Vec<u64> = (0..7).map(|attempt| wait(attempt, delay, max, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait(3, delay, max, 0.25), Duration::from_secs(2));
        assert_eq!(wait(u32::MAX, delay, max, 0.0), Duration::ZERO);
    }
}
