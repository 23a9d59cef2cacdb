//! Requests that may come twice, as this node remembers them.
//!
//! The last [`REMEMBERED`] that were done are.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Mutex, MutexGuard};

use axum::body::Bytes;
use switchboard_backplane::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, Digest, IdempotencyStore, RESPONSE_LIFETIME, RequestKey, StoreFuture,
};
use tokio::time::Instant;

/// Most requests that are remembered.
const REMEMBERED: usize = 10_000;

/// Remembers requests in memory.
#[derive(Default)]
pub(super) struct MemoryRepeats(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    known: HashMap<Digest, Request>,
    next: u64,
    /// All claims of late, those that have ended too, in their order.
    claimed: VecDeque<(Instant, Claim)>,
    /// Those that are done, in that order.
    done: VecDeque<(Instant, Claim)>,
}

struct Request {
    claim: Claim,
    answer: Option<Bytes>,
}

impl MemoryRepeats {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().expect("no code that holds the requests panics")
    }
}

impl IdempotencyStore for MemoryRepeats {
    fn claim<'a>(&'a self, asked: &'a RequestKey) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(ready(Ok(self.lock().begin(asked, Instant::now()))))
    }

    fn complete<'a>(&'a self, claim: &'a Claim, answer: &'a Bytes) -> StoreFuture<'a, ()> {
        self.lock().finish(claim, answer, Instant::now());
        Box::pin(ready(Ok(())))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, ()> {
        self.lock().release(claim);
        Box::pin(ready(Ok(())))
    }
}

impl Requests {
    fn begin(&mut self, asked: &RequestKey, now: Instant) -> ClaimOutcome {
        self.forget_old(now);
        match self.known.get(&asked.name) {
            Some(known) if known.claim.key != *asked => ClaimOutcome::Conflict,
            Some(Request { answer: Some(answer), .. }) => ClaimOutcome::Completed(answer.clone()),
            Some(_) => ClaimOutcome::InProgress,
            None => {
                self.next += 1;
                let claim = Claim { key: *asked, number: self.next };
                self.known.insert(asked.name, Request { claim, answer: None });
                self.claimed.push_back((now, claim));
                ClaimOutcome::Claimed(claim)
            }
        }
    }

    fn finish(&mut self, claim: &Claim, answer: &Bytes, now: Instant) {
        if self.holds(claim) {
            self.known.insert(claim.key.name, Request { claim: *claim, answer: Some(answer.clone()) });
            self.done.push_back((now, *claim));
        }
    }

    fn release(&mut self, claim: &Claim) {
        if self.holds(claim) {
            self.known.remove(&claim.key.name);
        }
    }

    /// Whether the claim has not ended.
    fn holds(&self, claim: &Claim) -> bool {
        let known = self.known.get(&claim.key.name);
        known.is_some_and(|known| known.claim == *claim && known.answer.is_none())
    }

    fn forget_old(&mut self, now: Instant) {
        let is_over = |since: Instant, lasts| now.saturating_duration_since(since) >= lasts;
        while let Some((_, claim)) = self.claimed.pop_front_if(|(since, _)| is_over(*since, CLAIM_LIFETIME)) {
            self.release(&claim);
        }
        let mut over = self.done.len().saturating_sub(REMEMBERED - 1);
        while let Some((_, claim)) =
            self.done.pop_front_if(|(since, _)| over > 0 || is_over(*since, RESPONSE_LIFETIME))
        {
            over = over.saturating_sub(1);
            self.known.remove(&claim.key.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::contract;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_the_contract() {
        let repeats = MemoryRepeats::default();
        contract::repeats::requests(&repeats, &repeats, tokio::time::advance).await;
    }

    fn begin(repeats: &MemoryRepeats, n: usize) -> ClaimOutcome {
        let mut name = Digest::default();
        name[..size_of::<usize>()].copy_from_slice(&n.to_ne_bytes());
        repeats.lock().begin(&RequestKey { name, content: Digest::default() }, Instant::now())
    }

    #[tokio::test]
    async fn the_oldest_are_forgotten_when_there_are_many() {
        let repeats = MemoryRepeats::default();
        for n in 0..REMEMBERED + 10 {
            let ClaimOutcome::Claimed(claim) = begin(&repeats, n) else { panic!("it is remembered") };
            repeats.lock().finish(&claim, &Bytes::new(), Instant::now());
        }
        assert_eq!(repeats.lock().known.len(), REMEMBERED);
        assert!(matches!(begin(&repeats, 0), ClaimOutcome::Claimed(_)));
        assert!(matches!(begin(&repeats, REMEMBERED + 9), ClaimOutcome::Completed(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_claims_that_nobody_ended() {
        let repeats = MemoryRepeats::default();
        (0..5).for_each(|n| drop(begin(&repeats, n)));
        tokio::time::advance(CLAIM_LIFETIME).await;
        begin(&repeats, 9);
        let requests = repeats.lock();
        assert_eq!((requests.known.len(), requests.claimed.len()), (1, 1));
    }
}
