//! Token buckets, which limit rates.

use std::time::Instant;

/// A response with this extension counts as that many requests of
/// [`Limits::http_requests_per_s`](crate::Limits::http_requests_per_s), and not as one.
///
/// ```
/// use axum::response::IntoResponse;
/// use axum::{Extension, Router, routing::get};
/// use switchboard::{App, RequestCost};
///
/// async fn report() -> impl IntoResponse {
///     (Extension(RequestCost(100)), "a list that takes long to make")
/// }
/// let app = App::new().with_http(Router::new().route("/report", get(report)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCost(pub u32);

/// A token bucket. It starts full and refills at a constant rate.
pub(crate) struct Bucket {
    tokens: f32,
    refilled: Instant,
}

impl Bucket {
    pub(crate) fn full(burst: f32, now: Instant) -> Self {
        Bucket { tokens: burst, refilled: now }
    }

    /// Takes tokens. Returns false if there were too few; the balance is negative then.
    pub(crate) fn take(&mut self, amount: f32, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens = self.refill(per_s, burst, now) - amount;
        self.tokens >= 0.0
    }

    /// Returns taken tokens.
    pub(crate) fn give_back(&mut self, amount: f32) {
        self.tokens += amount;
    }

    /// Adds the tokens of the time since the last call, and returns the balance.
    pub(crate) fn refill(&mut self, per_s: f32, burst: f32, now: Instant) -> f32 {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f32();
        self.tokens = (self.tokens + elapsed * per_s).min(burst);
        self.refilled = now;
        self.tokens
    }

    /// Returns true if the bucket would be full after a refill.
    pub(crate) fn is_full(&self, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens + now.saturating_duration_since(self.refilled).as_secs_f32() * per_s >= burst
    }
}
