//! How much a connection, or an address, may ask for in a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::node::limits::Limits;
use crate::node::rate::Bucket;

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
pub(crate) struct Admitted {
    addresses: Arc<Addresses>,
    ip: Option<IpAddr>,
}

impl Addresses {
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Admitted, Refused> {
        let mut table = self.table.lock().expect("no code that holds the addresses panics");
        if let Some(max) = limits.connections_max.filter(|max| table.connections >= *max) {
            return Err(Refused::Full(max));
        }
        if let Some(ip) = ip {
            table.admit(ip, limits, now)?;
        }
        table.connections += 1;
        Ok(Admitted { addresses: self.clone(), ip })
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
            address.connects.give_back(1.0);
            return Err(Refused::TooFast(allowed));
        }
        address.connections += 1;
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut table = self.addresses.table.lock().expect("no code that holds the addresses panics");
        table.connections -= 1;
        if let Some(address) = self.ip.and_then(|ip| table.addresses.get_mut(&ip)) {
            address.connections -= 1;
        }
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
