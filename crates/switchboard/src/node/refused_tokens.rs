//! Counts refused authentication tokens per address, so that an address cannot try many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::node::limits::Limits;
use crate::node::rate::Bucket;

/// Removes idle addresses when there are this many more than after the last sweep.
const SWEEP_EVERY: usize = 1024;

/// A rate limit of refused tokens for each address.
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
    /// Returns true if a token from this address may be verified.
    pub(crate) fn may_try(&self, ip: Option<IpAddr>, limits: &Limits, now: Instant) -> bool {
        let (Some(ip), Some(per_min)) = (ip, limits.refused_tokens_per_min) else { return true };
        let mut table = self.lock();
        let bucket = table.addresses.get_mut(&ip);
        bucket.is_none_or(|bucket| bucket.refill(per_min as f32 / 60.0, per_min as f32, now) >= 1.0)
    }

    /// Counts a refused token.
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
    fn an_address_with_too_many_refused_tokens_is_blocked_until_the_rate_allows_one() {
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
