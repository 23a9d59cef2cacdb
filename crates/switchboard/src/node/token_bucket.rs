//! The token bucket, which limits a rate.

use std::time::Instant;

/// A token bucket. It starts full and refills at a constant rate.
pub(crate) struct TokenBucket {
    /// Exact enough that the shortest time between two calls adds something.
    tokens: f64,
    refilled: Instant,
}

impl TokenBucket {
    pub(crate) fn full(burst: f32, now: Instant) -> Self {
        TokenBucket { tokens: burst.into(), refilled: now }
    }

    /// Takes tokens. Returns false if there were too few; the balance is negative then.
    pub(crate) fn take(&mut self, amount: f32, per_s: f32, burst: f32, now: Instant) -> bool {
        self.refill(per_s, burst, now);
        self.tokens -= f64::from(amount);
        self.tokens >= 0.0
    }

    /// Returns taken tokens.
    pub(crate) fn give_back(&mut self, amount: f32) {
        self.tokens += f64::from(amount);
    }

    /// Adds the tokens of the time since the last call, and returns the balance.
    pub(crate) fn refill(&mut self, per_s: f32, burst: f32, now: Instant) -> f32 {
        self.tokens = self.tokens_at(per_s, burst, now);
        self.refilled = now;
        self.tokens as f32
    }

    /// Returns true if the bucket would be full after a refill.
    pub(crate) fn is_full(&self, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens_at(per_s, burst, now) >= f64::from(burst)
    }

    fn tokens_at(&self, per_s: f32, burst: f32, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        (self.tokens + elapsed * f64::from(per_s)).min(burst.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own origin of time")]
    fn a_bucket_refills_at_its_rate_however_often_it_is_asked() {
        let (mut bucket, start) = (TokenBucket::full(1000.0, Instant::now()), Instant::now());
        assert!(bucket.take(1000.0, 1.0, 1000.0, start));
        for step in 1..=1_000_000 {
            bucket.refill(1.0, 1000.0, start + Duration::from_micros(step));
        }
        let left = bucket.refill(1.0, 1000.0, start + Duration::from_secs(1));
        assert!((0.999..1.001).contains(&left), "{left}");
        assert_eq!(size_of::<TokenBucket>(), 24, "each known address has several");
    }
}
