//! Token buckets, and the one that bounds refused tokens per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::node::limits::Limits;

/// A bucket of tokens that refills at a rate. Full at first.
pub(crate) struct Bucket {
    tokens: f32,
    refilled: Instant,
}

impl Bucket {
    pub(crate) fn full(burst: f32, now: Instant) -> Self {
        Bucket { tokens: burst, refilled: now }
    }

    /// Takes `amount`; false if there was not enough.
    pub(crate) fn take(&mut self, amount: f32, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens = self.refill(per_s, burst, now) - amount;
        self.tokens >= 0.0
    }

    /// Puts back what was taken.
    pub(crate) fn give_back(&mut self, amount: f32) {
        self.tokens += amount;
    }

    /// How much there is by now.
    fn refill(&mut self, per_s: f32, burst: f32, now: Instant) -> f32 {
        let since = now.saturating_duration_since(self.refilled).as_secs_f32();
        self.tokens = (self.tokens + since * per_s).min(burst);
        self.refilled = now;
        self.tokens
    }

    pub(crate) fn is_full(&self, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens + now.saturating_duration_since(self.refilled).as_secs_f32() * per_s >= burst
    }
}

/// Forgets idle addresses when there are this many more than at the last sweep.
const SWEEP_EVERY: usize = 1024;

/// Refused tokens, counted by address.
#[derive(Default)]
pub(crate) struct RefusedTokens {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    addresses: HashMap<IpAddr, Bucket>,
    sweep_at: usize,
}

impl RefusedTokens {
    /// Whether a token of this address is looked at.
    pub(crate) fn may_try(&self, ip: Option<IpAddr>, limits: &Limits, now: Instant) -> bool {
        let (Some(ip), Some(per_min)) = (ip, limits.refused_tokens_per_min) else { return true };
        let mut table = self.lock();
        let bucket = table.addresses.get_mut(&ip);
        bucket.is_none_or(|bucket| bucket.refill(per_min as f32 / 60.0, per_min as f32, now) >= 1.0)
    }

    /// Counts a token that was refused.
    pub(crate) fn count(&self, ip: Option<IpAddr>, limits: &Limits, now: Instant) {
        let (Some(ip), Some(per_min)) = (ip, limits.refused_tokens_per_min) else { return };
        let (per_s, burst) = (per_min as f32 / 60.0, per_min as f32);
        let mut table = self.lock();
        if table.addresses.len() >= table.sweep_at {
            table.addresses.retain(|_, bucket| !bucket.is_full(per_s, burst, now));
            table.sweep_at = table.addresses.len() + SWEEP_EVERY;
        }
        let bucket = table.addresses.entry(ip).or_insert_with(|| Bucket::full(burst, now));
        bucket.take(1.0, per_s, burst, now);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no code that holds the refused tokens panics")
    }
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
    fn an_address_with_too_many_refused_tokens_has_to_wait() {
        let limits = Limits { refused_tokens_per_min: Some(2), ..Limits::default() };
        let (refused, now) = (RefusedTokens::default(), start());
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        for _ in 0..2 {
            assert!(refused.may_try(one, &limits, now));
            refused.count(one, &limits, now);
        }
        assert!(!refused.may_try(one, &limits, now));
        assert!(refused.may_try(other, &limits, now));
        assert!(refused.may_try(one, &limits, now + Duration::from_secs(30)));
    }
}
