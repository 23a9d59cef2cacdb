//! How much a connection, or an address, may ask for in a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::node::limits::Limits;

/// A bucket of tokens that refills at a rate. Full at first.
pub(crate) struct Bucket {
    tokens: f32,
    refilled: Instant,
}

impl Bucket {
    fn full(burst: f32, now: Instant) -> Self {
        Bucket { tokens: burst, refilled: now }
    }

    /// Takes `amount`; false if there was not enough.
    fn take(&mut self, amount: f32, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens = self.refill(per_s, burst, now) - amount;
        self.tokens >= 0.0
    }

    /// How much there is by now.
    fn refill(&mut self, per_s: f32, burst: f32, now: Instant) -> f32 {
        let since = now.saturating_duration_since(self.refilled).as_secs_f32();
        self.tokens = (self.tokens + since * per_s).min(burst);
        self.refilled = now;
        self.tokens
    }

    fn is_full(&self, per_s: f32, burst: f32, now: Instant) -> bool {
        self.tokens + now.saturating_duration_since(self.refilled).as_secs_f32() * per_s >= burst
    }
}

/// A burst lets through four seconds' worth at once.
const BURST_S: f32 = 4.0;

/// The rates of one connection.
pub(crate) struct Throttle {
    messages: Bucket,
    bytes: Bucket,
}

impl Throttle {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let burst = |per_s: Option<u32>| Bucket::full(per_s.unwrap_or(0) as f32 * BURST_S, now);
        Throttle { messages: burst(limits.messages_per_s), bytes: burst(limits.bytes_per_s) }
    }

    /// Counts one message; the error is the reason to close with.
    pub(crate) fn admit(&mut self, bytes: usize, limits: &Limits, now: Instant) -> Result<(), String> {
        let over = |bucket: &mut Bucket, amount: f32, per_s: Option<u32>| {
            let per_s = per_s? as f32;
            (!bucket.take(amount, per_s, per_s * BURST_S, now)).then_some(per_s)
        };
        if let Some(per_s) = over(&mut self.messages, 1.0, limits.messages_per_s) {
            return Err(format!("over {per_s} messages per second"));
        }
        if let Some(per_s) = over(&mut self.bytes, bytes as f32, limits.bytes_per_s) {
            return Err(format!("over {per_s} bytes per second"));
        }
        Ok(())
    }
}

/// A burst of connects lets through two seconds' worth at once.
const CONNECT_BURST_S: f32 = 2.0;

/// Forgets idle addresses when there are this many more than at the last time.
const SWEEP_EVERY: usize = 1024;

/// Who is connected from where.
#[derive(Default)]
pub(crate) struct Addresses {
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
}

/// Why a handshake is refused for its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the server has its {0} connections, which is the most")]
    Full(usize),
    #[error("this address has its {0} connections, which is the most")]
    AddressFull(usize),
    #[error("this address may connect {0} times per second")]
    TooFast(u32),
}

/// A place among the connections, given back when dropped.
pub(crate) struct Admission {
    addresses: Arc<Addresses>,
    ip: Option<IpAddr>,
}

impl Addresses {
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Admission, Refused> {
        let mut table = self.table.lock().expect("no code that holds the addresses panics");
        if let Some(max) = limits.connections_max.filter(|max| table.connections >= *max) {
            return Err(Refused::Full(max));
        }
        if let Some(ip) = ip {
            table.admit(ip, limits, now)?;
        }
        table.connections += 1;
        Ok(Admission { addresses: self.clone(), ip })
    }
}

impl Table {
    fn admit(&mut self, ip: IpAddr, limits: &Limits, now: Instant) -> Result<(), Refused> {
        let per_s = limits.connects_per_s.unwrap_or(0) as f32;
        let burst = per_s * CONNECT_BURST_S;
        if self.addresses.len() >= self.sweep_at {
            self.addresses.retain(|_, at| at.connections > 0 || !at.connects.is_full(per_s, burst, now));
            self.sweep_at = self.addresses.len() + SWEEP_EVERY;
        }
        let address = self
            .addresses
            .entry(ip)
            .or_insert_with(|| Address { connections: 0, connects: Bucket::full(burst, now) });
        if let Some(max) = limits.connections_per_address_max.filter(|max| address.connections >= *max) {
            return Err(Refused::AddressFull(max));
        }
        if let Some(allowed) = limits.connects_per_s
            && !address.connects.take(1.0, per_s, burst, now)
        {
            // What was refused costs nothing, or a client that keeps trying would never get in.
            address.connects.tokens += 1.0;
            return Err(Refused::TooFast(allowed));
        }
        address.connections += 1;
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut table = self.addresses.table.lock().expect("no code that holds the addresses panics");
        table.connections -= 1;
        if let Some(address) = self.ip.and_then(|ip| table.addresses.get_mut(&ip)) {
            address.connections -= 1;
        }
    }
}

/// From where tokens come that are refused.
#[derive(Default)]
pub(crate) struct Refusals {
    table: Mutex<RefusalTable>,
}

#[derive(Default)]
struct RefusalTable {
    addresses: HashMap<IpAddr, Bucket>,
    sweep_at: usize,
}

impl Refusals {
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

    fn lock(&self) -> MutexGuard<'_, RefusalTable> {
        self.table.lock().expect("no code that holds the refusals panics")
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
    fn a_burst_passes_and_then_the_rate_holds() {
        let limits = Limits { messages_per_s: Some(10), bytes_per_s: None, ..Limits::default() };
        let now = start();
        let mut throttle = Throttle::new(&limits, now);
        for _ in 0..40 {
            throttle.admit(1, &limits, now).unwrap();
        }
        assert_eq!(throttle.admit(1, &limits, now).unwrap_err(), "over 10 messages per second");
        assert!(throttle.admit(1, &limits, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn an_address_gets_its_places_back() {
        let limits = Limits {
            connections_per_address_max: Some(1),
            connections_max: Some(2),
            connects_per_s: None,
            ..Limits::default()
        };
        let addresses = Arc::new(Addresses::default());
        let [one, two, three] = [1, 2, 3].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let first = addresses.admit(one, &limits, start()).unwrap();
        assert_eq!(addresses.admit(one, &limits, start()).err(), Some(Refused::AddressFull(1)));
        let _second = addresses.admit(two, &limits, start()).unwrap();
        assert_eq!(addresses.admit(three, &limits, start()).err(), Some(Refused::Full(2)));
        drop(first);
        assert!(addresses.admit(one, &limits, start()).is_ok());
    }

    #[test]
    fn an_address_with_too_many_refused_tokens_has_to_wait() {
        let limits = Limits { refused_tokens_per_min: Some(2), ..Limits::default() };
        let (refusals, now) = (Refusals::default(), start());
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        for _ in 0..2 {
            assert!(refusals.may_try(one, &limits, now));
            refusals.count(one, &limits, now);
        }
        assert!(!refusals.may_try(one, &limits, now));
        assert!(refusals.may_try(other, &limits, now));
        assert!(refusals.may_try(one, &limits, now + Duration::from_secs(30)));
    }

    #[test]
    fn idle_addresses_are_forgotten() {
        let limits = Limits { connects_per_s: Some(1), ..Limits::default() };
        let addresses = Arc::new(Addresses::default());
        let now = start();
        for n in 0..10 * SWEEP_EVERY as u32 {
            let later = now + Duration::from_secs(n.into());
            drop(addresses.admit(Some(IpAddr::from(n.to_be_bytes())), &limits, later).unwrap());
        }
        assert!(addresses.table.lock().unwrap().addresses.len() <= 2 * SWEEP_EVERY);
    }
}
