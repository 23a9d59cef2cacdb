//! The delay before the next attempt: random, so that nodes do not reconnect all at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Short, because a node must be complete again within 5 s after Redis has returned.
const MAX: Duration = Duration::from_millis(1500);

/// A random delay whose upper bound doubles with each attempt, from 100 ms to 1.5 s.
#[derive(Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let max = FIRST.saturating_mul(1 << self.attempts.min(8)).min(MAX);
        self.attempts += 1;
        tokio::time::sleep(max.mul_f64(rand::random::<f64>())).await;
    }
}
