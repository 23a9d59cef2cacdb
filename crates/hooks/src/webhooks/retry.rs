//! When a failed call is repeated.

use std::time::Duration;

use http::{HeaderMap, header};

/// Longest time that an endpoint can ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The pauses between attempts: random up to a bound that doubles with each failure, so that calls which failed together
/// are not repeated together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Retry {
    /// The pause after a failed attempt, counted from 0. At least `retry_after`.
    pub(crate) fn pause(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let bound = self.min.saturating_mul(2_u32.saturating_pow(attempt)).min(self.max);
        bound.mul_f64(rand::random()).max(retry_after.unwrap_or_default())
    }
}

/// The seconds of `Retry-After`, at most an hour. Dates are ignored.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_random_up_to_a_bound_that_doubles() {
        let retry = Retry { min: Duration::from_secs(1), max: Duration::from_secs(300) };
        for (attempt, bound) in [(0, 1), (1, 2), (3, 8), (8, 256), (9, 300), (40, 300), (u32::MAX, 300)] {
            let pauses: Vec<Duration> = (0..200).map(|_| retry.pause(attempt, None)).collect();
            let longest = pauses.iter().max().unwrap();
            assert!(*longest <= Duration::from_secs(bound), "{attempt}: {longest:?}");
            assert!(*longest > Duration::from_secs(bound) / 2, "{attempt}: {longest:?}");
            assert!(pauses.iter().min().unwrap() < &(Duration::from_secs(bound) / 2), "{attempt}");
        }
    }

    #[test]
    fn retry_after_is_respected_up_to_an_hour() {
        let headers = |value: &str| HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
        let retry = Retry { min: Duration::ZERO, max: Duration::ZERO };
        for (value, seconds) in [("7", 7), (" 7 ", 7), ("999999", 3600), ("-1", 0), ("1.5", 0), ("soon", 0)] {
            let pause = retry.pause(0, retry_after(&headers(value)));
            assert_eq!(pause, Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
