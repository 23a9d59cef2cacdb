//! Budgets of rate rules for several nodes in one process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use crate::future::{BackplaneFuture, reply};
use crate::rates::{RateStore, Spending};

/// Number of keys from which on those are removed that no longer matter.
const SWEEP_AT: usize = 1024;

/// Sums the counts of the nodes of one process.
pub struct MemoryRateStore {
    /// The theoretical arrival time of each key, in ns since `origin`; see [`RateStore`].
    ends: Mutex<HashMap<String, u64>>,
    origin: Instant,
}

impl Default for MemoryRateStore {
    #[expect(clippy::disallowed_methods, reason = "the store has a clock of its own, as Redis has")]
    fn default() -> Self {
        MemoryRateStore { ends: Mutex::default(), origin: Instant::now() }
    }
}

impl RateStore for MemoryRateStore {
    fn spend<'a>(&'a self, spendings: &'a [Spending]) -> BackplaneFuture<'a, Vec<u64>> {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut ends = self.ends.lock().expect("no code that holds the lock panics");
        if ends.len() >= SWEEP_AT {
            ends.retain(|_, end| *end > now);
        }
        let spend = |Spending { key, cost_ns }: &Spending| {
            let end = ends.entry(key.clone()).or_default();
            *end = (*end).max(now).saturating_add(*cost_ns);
            *end - now
        };
        reply(spendings.iter().map(spend).collect())
    }
}
