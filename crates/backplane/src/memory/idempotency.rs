//! The requests that one node remembers.
//!
//! At most [`REMEMBERED_MAX`] completed requests are remembered; the oldest is forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::future::{BackplaneFuture, reply};
use crate::idempotency::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, Digest, IdempotencyStore, RESPONSE_LIFETIME, RequestKey,
};

/// Maximum number of completed requests that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Remembers requests in memory.
pub struct MemoryIdempotencyStore {
    requests: Mutex<Requests>,
    now: fn() -> Instant,
}

#[derive(Default)]
struct Requests {
    by_name: HashMap<Digest, Request>,
    last_number: u64,
    /// Claims with the time they were taken, oldest first; ended ones included until they would expire.
    claims: VecDeque<(Instant, Claim)>,
    /// Completed claims with the time of completion, oldest first.
    completed: VecDeque<(Instant, Claim)>,
}

struct Request {
    claim: Claim,
    response: Option<Bytes>,
}

impl Default for MemoryIdempotencyStore {
    #[expect(clippy::disallowed_methods, reason = "callers of the trait pass no time")]
    fn default() -> Self {
        MemoryIdempotencyStore::with_clock(Instant::now)
    }
}

impl MemoryIdempotencyStore {
    /// A store with another clock, for tests.
    pub fn with_clock(now: fn() -> Instant) -> Self {
        MemoryIdempotencyStore { requests: Mutex::default(), now }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().expect("no code that holds the requests panics")
    }
}

impl IdempotencyStore for MemoryIdempotencyStore {
    fn claim<'a>(&'a self, key: &'a RequestKey) -> BackplaneFuture<'a, ClaimOutcome> {
        reply(self.lock().claim(key, (self.now)()))
    }

    fn complete<'a>(&'a self, claim: &'a Claim, response: &'a Bytes) -> BackplaneFuture<'a, ()> {
        self.lock().complete(claim, response, (self.now)());
        reply(())
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackplaneFuture<'a, ()> {
        self.lock().release(claim);
        reply(())
    }
}

impl Requests {
    fn claim(&mut self, key: &RequestKey, now: Instant) -> ClaimOutcome {
        self.forget_expired(now);
        match self.by_name.get(&key.name) {
            Some(known) if known.claim.key != *key => ClaimOutcome::Conflict,
            Some(Request { response: Some(response), .. }) => ClaimOutcome::Completed(response.clone()),
            Some(_) => ClaimOutcome::InProgress,
            None => {
                self.last_number += 1;
                let claim = Claim { key: *key, number: self.last_number };
                self.by_name.insert(key.name, Request { claim, response: None });
                self.claims.push_back((now, claim));
                ClaimOutcome::Claimed(claim)
            }
        }
    }

    fn complete(&mut self, claim: &Claim, response: &Bytes, now: Instant) {
        if self.is_held(claim) {
            let request = Request { claim: *claim, response: Some(response.clone()) };
            self.by_name.insert(claim.key.name, request);
            self.completed.push_back((now, *claim));
        }
    }

    fn release(&mut self, claim: &Claim) {
        if self.is_held(claim) {
            self.by_name.remove(&claim.key.name);
        }
    }

    fn is_held(&self, claim: &Claim) -> bool {
        let known = self.by_name.get(&claim.key.name);
        known.is_some_and(|known| known.claim == *claim && known.response.is_none())
    }

    fn forget_expired(&mut self, now: Instant) {
        let is_over = |since: Instant, lifetime: Duration| now.saturating_duration_since(since) >= lifetime;
        while let Some((_, claim)) = self.claims.pop_front_if(|(since, _)| is_over(*since, CLAIM_LIFETIME)) {
            self.release(&claim);
        }
        let mut excess = self.completed.len().saturating_sub(REMEMBERED_MAX - 1);
        while let Some((_, claim)) =
            self.completed.pop_front_if(|(since, _)| excess > 0 || is_over(*since, RESPONSE_LIFETIME))
        {
            excess = excess.saturating_sub(1);
            self.by_name.remove(&claim.key.name);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any time is a start")]
mod tests {
    use super::*;

    fn claim(requests: &mut Requests, n: usize, now: Instant) -> ClaimOutcome {
        let mut name = Digest::default();
        name[..size_of::<usize>()].copy_from_slice(&n.to_ne_bytes());
        requests.claim(&RequestKey { name, content: Digest::default() }, now)
    }

    #[test]
    fn the_oldest_completed_requests_are_forgotten_at_the_bound() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        for n in 0..REMEMBERED_MAX + 10 {
            let ClaimOutcome::Claimed(claim) = claim(&mut requests, n, now) else {
                panic!("{n} is remembered")
            };
            requests.complete(&claim, &Bytes::new(), now);
        }
        assert_eq!(requests.by_name.len(), REMEMBERED_MAX);
        assert!(matches!(claim(&mut requests, 0, now), ClaimOutcome::Claimed(_)));
        assert!(matches!(claim(&mut requests, REMEMBERED_MAX + 9, now), ClaimOutcome::Completed(_)));
    }

    #[test]
    fn expired_claims_leave_nothing_behind() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        (0..5).for_each(|n| drop(claim(&mut requests, n, now)));
        claim(&mut requests, 9, now + CLAIM_LIFETIME);
        assert_eq!((requests.by_name.len(), requests.claims.len()), (1, 1));
    }
}
