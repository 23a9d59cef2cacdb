//! Durations as Redis takes them.

use std::time::Duration;

/// Longest duration that Redis can add to its clock, in ms.
pub(crate) const MS_MAX: u64 = 1 << 52;

/// Whole milliseconds, at least 1. Rounded up: a lease or a key must not end before its time, and Redis refuses
/// a lifetime of 0.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(MS_MAX).clamp(1, MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_up_to_a_lifetime_that_redis_accepts() {
        for (duration, ms) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(300), 300),
            (Duration::from_micros(300_001), 301),
            (Duration::MAX, MS_MAX),
        ] {
            assert_eq!(whole_ms(duration), ms);
        }
    }
}
