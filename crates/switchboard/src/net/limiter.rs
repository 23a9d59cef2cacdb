//! Limits on addresses: open connections in total and per address, new connections per second, and HTTP requests
//! per second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::node::clock::now;
use crate::node::limits::Limits;
use crate::node::rate::Bucket;

/// Length of the bursts: two seconds' worth of connections or requests pass at once.
const BURST_S: f32 = 2.0;

/// How often idle addresses are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Idle addresses are also removed when there are this many more than after the last time.
const SWEEP_EVERY: usize = 1024;

/// Counts the connections and requests of a service, in total and by address.
#[derive(Default)]
pub(crate) struct AddressLimiter {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    addresses: HashMap<IpAddr, Address>,
    connections: usize,
    sweep_at: usize,
}

struct Address {
    connections: usize,
    connects: Bucket,
    requests: Bucket,
}

/// Why a connection or a request exceeds the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    #[error("the server has its {0} connections, which is the most")]
    Server(usize),
    #[error("this address has its {0} connections, which is the most")]
    Address(usize),
    #[error("this address may connect {0} times per second")]
    Connects(u32),
    #[error("this address may send {0} requests per second")]
    Requests(u32),
}

/// A counted connection; dropping it decrements the counts.
pub(crate) struct ConnectionPermit {
    limiter: Arc<AddressLimiter>,
    ip: Option<IpAddr>,
}

impl AddressLimiter {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no code that holds the table panics")
    }

    /// Counts a connection, or refuses it.
    pub(crate) fn admit_connection(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<ConnectionPermit, LimitError> {
        let mut table = self.table();
        if let Some(max) = limits.connections_max.filter(|max| table.connections >= *max) {
            return Err(LimitError::Server(max));
        }
        if let Some(ip) = ip {
            table.address(ip, limits, now).admit_connection(limits, now)?;
        }
        table.connections += 1;
        Ok(ConnectionPermit { limiter: self.clone(), ip })
    }

    /// Counts an HTTP request, or refuses it.
    pub(crate) fn admit_request(
        &self,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), LimitError> {
        let (Some(ip), Some(max)) = (ip, limits.http_requests_per_s) else { return Ok(()) };
        let mut table = self.table();
        let requests = &mut table.address(ip, limits, now).requests;
        take_one(requests, max, now).then_some(()).ok_or(LimitError::Requests(max))
    }

    /// Counts further requests of an address, for the answer to a request that was admitted.
    pub(crate) fn count_requests(&self, ip: Option<IpAddr>, requests: u32, limits: &Limits, now: Instant) {
        let (Some(ip), Some(max)) = (ip, limits.http_requests_per_s) else { return };
        let (per_s, burst) = rate(Some(max));
        self.table().address(ip, limits, now).requests.take(requests as f32, per_s, burst, now);
    }

    /// Removes idle addresses from time to time, until the limiter is dropped.
    pub(crate) async fn run_sweeps(limiter: Weak<Self>, limits: Limits) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let Some(limiter) = limiter.upgrade() else { return };
            limiter.table().sweep(&limits, now());
        }
    }
}

impl Table {
    fn address(&mut self, ip: IpAddr, limits: &Limits, now: Instant) -> &mut Address {
        if self.addresses.len() >= self.sweep_at {
            self.sweep(limits, now);
        }
        self.addresses.entry(ip).or_insert_with(|| Address {
            connections: 0,
            connects: Bucket::full(rate(limits.connects_per_s).1, now),
            requests: Bucket::full(rate(limits.http_requests_per_s).1, now),
        })
    }

    fn sweep(&mut self, limits: &Limits, now: Instant) {
        let is_full = |bucket: &Bucket, limit| {
            let (per_s, burst) = rate(limit);
            bucket.is_full(per_s, burst, now)
        };
        self.addresses.retain(|_, address| {
            address.connections > 0
                || !is_full(&address.connects, limits.connects_per_s)
                || !is_full(&address.requests, limits.http_requests_per_s)
        });
        if self.addresses.capacity() > 4 * self.addresses.len().max(16) {
            self.addresses.shrink_to_fit();
        }
        self.sweep_at = self.addresses.len() + SWEEP_EVERY;
    }
}

impl Address {
    fn admit_connection(&mut self, limits: &Limits, now: Instant) -> Result<(), LimitError> {
        if let Some(max) = limits.connections_per_address_max.filter(|max| self.connections >= *max) {
            return Err(LimitError::Address(max));
        }
        if let Some(max) = limits.connects_per_s
            && !take_one(&mut self.connects, max, now)
        {
            return Err(LimitError::Connects(max));
        }
        self.connections += 1;
        Ok(())
    }
}

/// Tokens per second and the size of a bucket; without a limit the bucket is not used.
fn rate(limit: Option<u32>) -> (f32, f32) {
    let per_s = limit.unwrap_or(0) as f32;
    (per_s, per_s * BURST_S)
}

/// Takes one token. A refused attempt costs none, so a client that keeps retrying succeeds eventually.
fn take_one(bucket: &mut Bucket, limit: u32, now: Instant) -> bool {
    let (per_s, burst) = rate(Some(limit));
    let is_taken = bucket.take(1.0, per_s, burst, now);
    if !is_taken {
        bucket.give_back(1.0);
    }
    is_taken
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut table = self.limiter.table();
        table.connections -= 1;
        if let Some(address) = self.ip.and_then(|ip| table.addresses.get_mut(&ip)) {
            address.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own origin of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_closed_connection_makes_room_for_another_from_its_address() {
        let limits = Limits {
            connections_per_address_max: Some(1),
            connections_max: Some(2),
            connects_per_s: None,
            ..Limits::default()
        };
        let limiter = Arc::new(AddressLimiter::default());
        let [one, two, three] = [1, 2, 3].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let first = limiter.admit_connection(one, &limits, start()).unwrap();
        assert_eq!(limiter.admit_connection(one, &limits, start()).err(), Some(LimitError::Address(1)));
        let _second = limiter.admit_connection(two, &limits, start()).unwrap();
        assert_eq!(limiter.admit_connection(three, &limits, start()).err(), Some(LimitError::Server(2)));
        drop(first);
        assert!(limiter.admit_connection(one, &limits, start()).is_ok());
    }

    #[test]
    fn requests_of_an_address_over_its_rate_are_refused_until_the_rate_allows_one() {
        let limits = Limits { http_requests_per_s: Some(5), ..Limits::default() };
        let (limiter, now) = (AddressLimiter::default(), start());
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        limiter.admit_request(one, &limits, now).unwrap();
        limiter.count_requests(one, 9, &limits, now);
        assert_eq!(limiter.admit_request(one, &limits, now), Err(LimitError::Requests(5)));
        assert_eq!(limiter.admit_request(other, &limits, now), Ok(()));
        assert_eq!(limiter.admit_request(one, &limits, now + Duration::from_millis(200)), Ok(()));
        assert_eq!(limiter.admit_request(None, &limits, now), Ok(()), "an unknown address is not limited");
    }

    #[test]
    fn idle_addresses_are_removed_without_a_further_visit() {
        let limits = Limits { connects_per_s: Some(1), http_requests_per_s: Some(1), ..Limits::default() };
        let limiter = Arc::new(AddressLimiter::default());
        let now = start();
        let address = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        let _open = limiter.admit_connection(address(0), &limits, now).unwrap();
        for n in 1..10 * SWEEP_EVERY as u32 {
            let later = now + Duration::from_secs(n.into());
            drop(limiter.admit_connection(address(2 * n), &limits, later).unwrap());
            limiter.admit_request(address(2 * n + 1), &limits, later).unwrap();
            assert!(limiter.table().addresses.len() <= 2 * SWEEP_EVERY);
        }
        let now = now + Duration::from_secs(10 * SWEEP_EVERY as u64);
        limiter.table().sweep(&limits, now + Duration::from_secs(60));
        let table = limiter.table();
        assert_eq!(table.addresses.len(), 1, "the address with an open connection");
        assert!(table.addresses.capacity() < 1000);
    }
}
