//! Limits on addresses: open connections, new connections per second, HTTP requests per second, and bytes in
//! unfinished messages.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use crate::node::Node;
use crate::node::address_table::{AddressTable, SWEEP_INTERVAL};
use crate::node::clock::now;
use crate::node::limits::Limits;
use crate::node::token_bucket::TokenBucket;

/// Length of the bursts: two seconds' worth of connections or requests pass at once.
const BURST_S: f32 = 2.0;

/// Counts the connections and requests of a service, in total and by address.
#[derive(Default)]
pub(crate) struct AddressLimiter {
    connections: AtomicUsize,
    table: Mutex<AddressTable<Address>>,
}

struct Address {
    connects: TokenBucket,
    requests: TokenBucket,
    usage: Arc<Usage>,
}

/// The use of all connections of one address.
#[derive(Default)]
struct Usage {
    connections: AtomicUsize,
    http_connections: AtomicUsize,
    unfinished_bytes: AtomicUsize,
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
    #[error("too many requests; try again in {0} ms")]
    Rule(u64),
}

/// The connections of an address have more bytes in unfinished messages than the limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget(pub(crate) usize);

/// A counted WebSocket; dropping it decrements the counts.
pub(crate) struct ConnectionPermit {
    limiter: Arc<AddressLimiter>,
    /// `None` if limits per address do not apply.
    usage: Option<Arc<Usage>>,
    unfinished_bytes: usize,
}

/// A counted HTTP connection; dropping it decrements the count.
pub(crate) struct HttpPermit(Arc<Usage>);

impl AddressLimiter {
    fn table(&self) -> MutexGuard<'_, AddressTable<Address>> {
        self.table.lock().expect("no code that holds the table panics")
    }

    /// Counts a WebSocket, or refuses it. Limits per address apply if there is an address.
    pub(crate) fn admit_connection(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<ConnectionPermit, LimitError> {
        let mut table = self.table();
        let connections = self.connections.load(Ordering::Relaxed);
        if let Some(max) = limits.connections_max.filter(|max| connections >= *max) {
            return Err(LimitError::Server(max));
        }
        let usage = ip
            .map(|ip| Address::of(&mut table, ip, limits, now).admit_connection(limits, now))
            .transpose()?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(ConnectionPermit { limiter: self.clone(), usage, unfinished_bytes: 0 })
    }

    /// Counts an HTTP connection of an address, or refuses it.
    pub(crate) fn admit_http_connection(
        &self,
        ip: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Result<HttpPermit, LimitError> {
        let mut table = self.table();
        let usage = &Address::of(&mut table, ip, limits, now).usage;
        let max = limits.http_connections_per_address_max;
        if let Some(max) = max.filter(|max| usage.http_connections.load(Ordering::Relaxed) >= *max) {
            return Err(LimitError::Address(max));
        }
        usage.http_connections.fetch_add(1, Ordering::Relaxed);
        Ok(HttpPermit(usage.clone()))
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
        let requests = &mut Address::of(&mut table, ip, limits, now).requests;
        take_one(requests, max, now).then_some(()).ok_or(LimitError::Requests(max))
    }

    /// Counts further requests of an address, for the answer to a request that was admitted.
    pub(crate) fn count_requests(&self, ip: Option<IpAddr>, requests: u32, limits: &Limits, now: Instant) {
        let (Some(ip), Some(max)) = (ip, limits.http_requests_per_s) else { return };
        let (per_s, burst) = rate(Some(max));
        Address::of(&mut self.table(), ip, limits, now).requests.take(requests as f32, per_s, burst, now);
    }

    /// Removes idle addresses from time to time, until the limiter is dropped.
    pub(crate) async fn run_sweeps(limiter: Weak<Self>, node: Weak<Node>) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let (Some(limiter), Some(node)) = (limiter.upgrade(), node.upgrade()) else { return };
            limiter.sweep(node.limits(), now());
        }
    }

    /// Removes idle addresses.
    pub(crate) fn sweep(&self, limits: &Limits, now: Instant) {
        self.table().sweep(|address| address.is_idle(limits, now));
    }
}

impl Address {
    fn of<'a>(table: &'a mut AddressTable<Self>, ip: IpAddr, limits: &Limits, now: Instant) -> &'a mut Self {
        let new = || Address {
            usage: Arc::default(),
            connects: TokenBucket::full(rate(limits.connects_per_s).1, now),
            requests: TokenBucket::full(rate(limits.http_requests_per_s).1, now),
        };
        table.entry(ip, |address| address.is_idle(limits, now), new)
    }

    fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        let is_full = |bucket: &TokenBucket, limit| {
            let (per_s, burst) = rate(limit);
            bucket.is_full(per_s, burst, now)
        };
        Arc::strong_count(&self.usage) == 1
            && is_full(&self.connects, limits.connects_per_s)
            && is_full(&self.requests, limits.http_requests_per_s)
    }

    fn admit_connection(&mut self, limits: &Limits, now: Instant) -> Result<Arc<Usage>, LimitError> {
        let connections = self.usage.connections.load(Ordering::Relaxed);
        if let Some(max) = limits.connections_per_address_max.filter(|max| connections >= *max) {
            return Err(LimitError::Address(max));
        }
        if let Some(max) = limits.connects_per_s
            && !take_one(&mut self.connects, max, now)
        {
            return Err(LimitError::Connects(max));
        }
        self.usage.connections.fetch_add(1, Ordering::Relaxed);
        Ok(self.usage.clone())
    }
}

impl ConnectionPermit {
    /// The bytes of the last call of [`set_unfinished_bytes`](Self::set_unfinished_bytes).
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.unfinished_bytes
    }

    /// Records the bytes that the connection has in unfinished messages. Fails if there are more than before and
    /// all connections of the address together exceed the limit.
    pub(crate) fn set_unfinished_bytes(&mut self, bytes: usize, limits: &Limits) -> Result<(), OverBudget> {
        let before = std::mem::replace(&mut self.unfinished_bytes, bytes);
        let Some(usage) = self.usage.as_ref().filter(|_| bytes != before) else { return Ok(()) };
        if bytes < before {
            usage.unfinished_bytes.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let max = limits.unfinished_bytes_per_address_max;
        let all = usage.unfinished_bytes.fetch_add(bytes - before, Ordering::Relaxed) + bytes - before;
        if all > max { Err(OverBudget(max)) } else { Ok(()) }
    }
}

/// Tokens per second and the size of a bucket; without a limit the bucket is not used.
fn rate(limit: Option<u32>) -> (f32, f32) {
    let per_s = limit.unwrap_or(0) as f32;
    (per_s, per_s * BURST_S)
}

/// Takes one token. A refused attempt costs none, so a client that keeps retrying succeeds eventually.
fn take_one(bucket: &mut TokenBucket, limit: u32, now: Instant) -> bool {
    let (per_s, burst) = rate(Some(limit));
    let is_taken = bucket.take(1.0, per_s, burst, now);
    if !is_taken {
        bucket.give_back(1.0);
    }
    is_taken
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(usage) = &self.usage {
            usage.connections.fetch_sub(1, Ordering::Relaxed);
            usage.unfinished_bytes.fetch_sub(self.unfinished_bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for HttpPermit {
    fn drop(&mut self) {
        self.0.http_connections.fetch_sub(1, Ordering::Relaxed);
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
    fn the_addresses_of_an_ipv6_network_count_as_one() {
        let limits = Limits { connections_per_address_max: Some(1), ..Limits::default() };
        let limiter = Arc::new(AddressLimiter::default());
        let admit = |ip: &str| limiter.admit_connection(Some(ip.parse().unwrap()), &limits, start());
        let _first = admit("2001:db8::1").unwrap();
        assert_eq!(admit("2001:db8::ffff:2").err(), Some(LimitError::Address(1)));
        assert!(admit("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn unfinished_messages_of_an_address_share_a_budget() {
        let limits = Limits { unfinished_bytes_per_address_max: 100, ..Limits::default() };
        let limiter = Arc::new(AddressLimiter::default());
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let [mut a, mut b, mut c, mut free] =
            [one, one, other, None].map(|ip| limiter.admit_connection(ip, &limits, start()).unwrap());
        assert_eq!(a.set_unfinished_bytes(60, &limits), Ok(()));
        assert_eq!(b.set_unfinished_bytes(60, &limits), Err(OverBudget(100)));
        assert_eq!(c.set_unfinished_bytes(60, &limits), Ok(()), "it has another address");
        assert_eq!(free.set_unfinished_bytes(1000, &limits), Ok(()), "it has no address");
        drop(b);
        assert_eq!(a.set_unfinished_bytes(100, &limits), Ok(()));
        assert_eq!(a.set_unfinished_bytes(0, &limits), Ok(()));
        assert_eq!(
            limiter.admit_connection(one, &limits, start()).unwrap().set_unfinished_bytes(100, &limits),
            Ok(())
        );
    }

    #[test]
    fn a_sweep_removes_addresses_without_connections_whose_rates_have_recovered() {
        let (limits, limiter, now) = (Limits::default(), AddressLimiter::default(), start());
        let [connected, idle] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let permit = limiter.admit_http_connection(connected, &limits, now).unwrap();
        limiter.admit_request(Some(idle), &limits, now).unwrap();
        limiter.sweep(&limits, now);
        assert!(limiter.table().get_mut(idle).is_some(), "its rate has not recovered");
        limiter.sweep(&limits, now + Duration::from_secs(1));
        assert!(limiter.table().get_mut(idle).is_none() && limiter.table().get_mut(connected).is_some());
        drop(permit);
        limiter.sweep(&limits, now + Duration::from_secs(1));
        assert!(limiter.table().get_mut(connected).is_none());
    }

    #[test]
    fn http_connections_of_an_address_are_bounded_apart_from_its_sockets() {
        let limits = Limits { http_connections_per_address_max: Some(1), ..Limits::default() };
        let limiter = Arc::new(AddressLimiter::default());
        let one = IpAddr::from([127, 0, 0, 1]);
        let first = limiter.admit_http_connection(one, &limits, start()).unwrap();
        let _socket = limiter.admit_connection(Some(one), &limits, start()).unwrap();
        assert_eq!(limiter.admit_http_connection(one, &limits, start()).err(), Some(LimitError::Address(1)));
        drop(first);
        assert!(limiter.admit_http_connection(one, &limits, start()).is_ok());
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
    fn an_address_is_idle_without_a_connection_once_its_rates_have_recovered() {
        let limits = Limits { connects_per_s: Some(1), http_requests_per_s: Some(1), ..Limits::default() };
        let limiter = Arc::new(AddressLimiter::default());
        let now = start();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let is_idle = |after| {
            let later = now + Duration::from_secs(after);
            Address::of(&mut limiter.table(), ip, &limits, now).is_idle(&limits, later)
        };
        let connection = limiter.admit_connection(Some(ip), &limits, now).unwrap();
        assert!(!is_idle(60));
        drop(connection);
        assert!(!is_idle(0), "it has just connected");
        assert!(is_idle(60));
        limiter.admit_request(Some(ip), &limits, now + Duration::from_secs(60)).unwrap();
        assert!(!is_idle(60), "it has just sent a request");
        assert!(is_idle(120));
    }
}
