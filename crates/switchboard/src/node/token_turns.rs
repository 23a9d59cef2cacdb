//! Bounds the work that tokens from one address cause.
//!
//! No token is refused because of others: many clients may share an address, and one of them may send invalid
//! tokens all day. Instead, an address that has had many refused tokens, or has used up its time, gets its tokens
//! verified in turns. A refused token keeps its turn a while longer, so invalid tokens are slow and valid ones
//! wait for few of them. At most one token of each socket waits. If more than [`SHORT_QUEUE`] tokens wait, refused ones no longer
//! keep their turns, so that the queue, and with it the number of waiting sockets, does not grow without need.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::node::address_table::AddressTable;
use crate::node::clock::now;
use crate::node::limits::Limits;
use crate::node::token_bucket::TokenBucket;

/// Number of tokens of a limited address that are verified at the same time.
const TURNS: usize = 4;

/// How long a refused token of a limited address keeps its turn, unless more than [`SHORT_QUEUE`] others wait.
const REFUSAL_PAUSE: Duration = Duration::from_millis(20);

/// Number of waiting tokens up to which a refused token keeps its turn.
const SHORT_QUEUE: usize = 64;

/// Length of the burst: the time of four seconds may be used at once.
const TIME_BURST_S: f32 = 4.0;

/// Longest wait for time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A rate that no address reaches.
const NO_LIMIT: f32 = 1e9;

/// The use of verifications by each address.
#[derive(Default)]
pub(crate) struct TokenTurns {
    table: Mutex<AddressTable<Address>>,
}

struct Address {
    refused: TokenBucket,
    /// In seconds.
    time: TokenBucket,
    /// Made when the address is limited.
    turns: Option<Arc<Turns>>,
}

/// The turns of a limited address.
struct Turns {
    semaphore: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A token that waits for its turn.
struct Waiting<'a>(&'a Turns);

/// The turn of one token.
pub(crate) enum Turn {
    /// The address is not limited.
    Free,
    /// Dropping it starts the next turn.
    Limited(LimitedTurn),
}

pub(crate) struct LimitedTurn {
    turns: Arc<Turns>,
    _permit: OwnedSemaphorePermit,
}

/// The rates of an address, and their bursts.
struct Rates {
    refused_per_s: f32,
    refused_burst: f32,
    /// Seconds per second.
    time_per_s: f32,
}

impl Rates {
    fn of(limits: &Limits) -> Self {
        let per_min = limits.refused_tokens_per_min.map_or(NO_LIMIT, |per_min| per_min as f32);
        let ms_per_s = limits.token_ms_per_s.map_or(NO_LIMIT, |ms| ms as f32);
        Rates { refused_per_s: per_min / 60.0, refused_burst: per_min, time_per_s: ms_per_s / 1000.0 }
    }

    fn time_burst(&self) -> f32 {
        self.time_per_s * TIME_BURST_S
    }
}

impl TokenTurns {
    /// Waits for the turn of a token.
    pub(crate) async fn begin(&self, ip: Option<IpAddr>, limits: &Limits) -> Turn {
        let Some(turns) = self.turns(ip, limits, now()) else { return Turn::Free };
        let permit = turns.take().await;
        sleep(self.time_owed(ip, limits, now())).await;
        Turn::Limited(LimitedTurn { turns, _permit: permit })
    }

    /// Ends the turn of a token whose verification took `spent` of a thread's time.
    pub(crate) async fn end(
        &self,
        turn: Turn,
        ip: Option<IpAddr>,
        limits: &Limits,
        spent: Duration,
        is_refused: bool,
    ) {
        self.record(ip, limits, spent, is_refused, now());
        if let Turn::Limited(turn) = &turn
            && is_refused
        {
            sleep(refusal_pause(turn.turns.waiting.load(Ordering::Relaxed))).await;
        }
    }

    /// The turns of an address if it is limited.
    fn turns(&self, ip: Option<IpAddr>, limits: &Limits, now: Instant) -> Option<Arc<Turns>> {
        let rates = Rates::of(limits);
        let mut table = self.lock();
        let address = table.get_mut(ip?)?;
        let may_be_refused = address.refused.refill(rates.refused_per_s, rates.refused_burst, now) >= 1.0;
        let has_time = address.time.refill(rates.time_per_s, rates.time_burst(), now) >= 0.0;
        if may_be_refused && has_time {
            return None;
        }
        Some(address.turns.get_or_insert_with(|| Arc::new(Turns::new())).clone())
    }

    /// How long the address must wait until it has time again.
    fn time_owed(&self, ip: Option<IpAddr>, limits: &Limits, now: Instant) -> Duration {
        let rates = Rates::of(limits);
        let mut table = self.lock();
        let address = ip.and_then(|ip| table.get_mut(ip));
        match address.map(|address| address.time.refill(rates.time_per_s, rates.time_burst(), now)) {
            Some(left) if left < 0.0 => {
                let wait = Duration::try_from_secs_f32(-left / rates.time_per_s);
                wait.unwrap_or(WAIT_MAX).min(WAIT_MAX)
            }
            _ => Duration::ZERO,
        }
    }

    fn record(&self, ip: Option<IpAddr>, limits: &Limits, spent: Duration, is_refused: bool, now: Instant) {
        let Some(ip) = ip else { return };
        let rates = Rates::of(limits);
        let mut table = self.lock();
        let address = table.entry(ip, |address| address.is_idle(&rates, now), || Address::new(&rates, now));
        address.time.take(spent.as_secs_f32(), rates.time_per_s, rates.time_burst(), now);
        // Never below zero, so that the address is not limited for longer than until the rate allows another one.
        let is_allowed = address.refused.refill(rates.refused_per_s, rates.refused_burst, now) >= 1.0;
        if is_refused && is_allowed {
            address.refused.take(1.0, rates.refused_per_s, rates.refused_burst, now);
        }
    }

    /// Removes idle addresses.
    pub(crate) fn sweep(&self, limits: &Limits, now: Instant) {
        let rates = Rates::of(limits);
        self.lock().sweep(|address| address.is_idle(&rates, now));
    }

    fn lock(&self) -> MutexGuard<'_, AddressTable<Address>> {
        self.table.lock().expect("no code that holds the table panics")
    }
}

impl Address {
    fn new(rates: &Rates, now: Instant) -> Self {
        Address {
            refused: TokenBucket::full(rates.refused_burst, now),
            time: TokenBucket::full(rates.time_burst(), now),
            turns: None,
        }
    }

    /// Returns true if the address has used nothing for a while.
    fn is_idle(&self, rates: &Rates, now: Instant) -> bool {
        self.refused.is_full(rates.refused_per_s, rates.refused_burst, now)
            && self.time.is_full(rates.time_per_s, rates.time_burst(), now)
    }
}

impl Turns {
    fn new() -> Self {
        Turns { semaphore: Arc::new(Semaphore::new(TURNS)), waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn, in order of arrival.
    async fn take(&self) -> OwnedSemaphorePermit {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(self);
        self.semaphore.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refusal_pause(waiting: usize) -> Duration {
    if waiting <= SHORT_QUEUE { REFUSAL_PAUSE } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own origin of time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, last]))
    }

    const NO_TIME: Duration = Duration::ZERO;

    #[test]
    fn an_address_with_many_refused_tokens_is_limited_until_its_rate_allows_another() {
        let limits = Limits { refused_tokens_per_min: Some(2), ..Limits::default() };
        let (turns, now) = (TokenTurns::default(), start());
        for _ in 0..2 {
            assert!(turns.turns(ip(1), &limits, now).is_none());
            turns.record(ip(1), &limits, NO_TIME, true, now);
        }
        assert!(turns.turns(ip(1), &limits, now).is_some());
        assert!(turns.turns(ip(2), &limits, now).is_none());
        assert!(turns.turns(ip(1), &limits, now + Duration::from_secs(30)).is_none());
    }

    #[test]
    fn accepted_tokens_do_not_limit_their_address_before_it_has_used_its_time() {
        let limits = Limits { token_ms_per_s: Some(100), ..Limits::default() };
        let (turns, now) = (TokenTurns::default(), start());
        for _ in 0..4 {
            assert!(turns.turns(ip(1), &limits, now).is_none());
            turns.record(ip(1), &limits, Duration::from_millis(101), false, now);
        }
        assert!(turns.turns(ip(1), &limits, now).is_some());
        let owed = turns.time_owed(ip(1), &limits, now);
        assert!((30..50).contains(&owed.as_millis()), "{owed:?}");
        assert!(turns.turns(ip(1), &limits, now + Duration::from_millis(50)).is_none());
    }

    #[tokio::test]
    async fn tokens_of_a_limited_address_take_turns_and_a_cancelled_one_leaves_the_queue() {
        let limits = Limits { refused_tokens_per_min: Some(1), ..Limits::default() };
        let turns = TokenTurns::default();
        turns.record(ip(1), &limits, NO_TIME, true, now());
        let mut held = Vec::new();
        for _ in 0..TURNS {
            held.push(turns.begin(ip(1), &limits).await);
        }
        let queue = turns.turns(ip(1), &limits, now()).expect("the address is limited");
        {
            let mut next = pin!(turns.begin(ip(1), &limits));
            assert!(poll!(next.as_mut()).is_pending());
            assert_eq!(queue.waiting.load(Ordering::Relaxed), 1);
            assert!(matches!(turns.begin(ip(2), &limits).await, Turn::Free));
            held.pop();
            assert!(matches!(next.await, Turn::Limited(_)));
        }
        held.push(turns.begin(ip(1), &limits).await);
        drop(poll!(pin!(turns.begin(ip(1), &limits))));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn refused_tokens_are_not_slowed_down_while_many_tokens_wait() {
        assert_eq!(refusal_pause(SHORT_QUEUE), REFUSAL_PAUSE);
        assert_eq!(refusal_pause(SHORT_QUEUE + 1), NO_TIME);
    }

    #[test]
    fn without_limits_no_address_is_limited() {
        let limits = Limits::default().without_rates().effective();
        let (turns, now) = (TokenTurns::default(), start());
        for _ in 0..1000 {
            turns.record(ip(1), &limits, Duration::from_secs(1), true, now);
        }
        assert!(turns.turns(ip(1), &limits, now).is_none());
        assert_eq!(turns.time_owed(ip(1), &limits, now), NO_TIME);
    }

    #[test]
    fn an_address_is_removed_once_its_rates_have_recovered() {
        let (limits, turns, now) = (Limits::default(), TokenTurns::default(), start());
        turns.record(ip(1), &limits, Duration::from_millis(100), true, now);
        turns.sweep(&limits, now);
        assert!(turns.lock().get_mut(ip(1).unwrap()).is_some());
        turns.sweep(&limits, now + Duration::from_secs(60));
        assert!(turns.lock().get_mut(ip(1).unwrap()).is_none());
    }
}
