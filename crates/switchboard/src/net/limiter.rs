//! Limits on connections: open connections in total and per address, and new connections per second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::node::limits::Limits;
use crate::node::rate::Bucket;

/// Length of the burst: two seconds' worth of connections pass at once.
const CONNECT_BURST_S: f32 = 2.0;

/// Removes idle addresses when there are this many more than after the last sweep.
const SWEEP_EVERY: usize = 1024;

/// Counts the connections of a service, in total and by address.
#[derive(Default)]
pub(crate) struct ConnectionLimiter {
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

/// Why a connection exceeds the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    #[error("the server has its {0} connections, which is the most")]
    Server(usize),
    #[error("this address has its {0} connections, which is the most")]
    Address(usize),
    #[error("this address may connect {0} times per second")]
    Rate(u32),
}

/// A counted connection; dropping it decrements the counts.
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    ip: Option<IpAddr>,
}

impl ConnectionLimiter {
    /// Counts a connection, or refuses it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Result<ConnectionPermit, LimitError> {
        let mut table = self.table.lock().expect("no code that holds the table panics");
        if let Some(max) = limits.connections_max.filter(|max| table.connections >= *max) {
            return Err(LimitError::Server(max));
        }
        if let Some(ip) = ip {
            table.admit(ip, limits, now)?;
        }
        table.connections += 1;
        Ok(ConnectionPermit { limiter: self.clone(), ip })
    }
}

impl Table {
    fn admit(&mut self, ip: IpAddr, limits: &Limits, now: Instant) -> Result<(), LimitError> {
        let per_s = limits.connects_per_s.unwrap_or(0) as f32;
        let burst = per_s * CONNECT_BURST_S;
        if self.addresses.len() >= self.sweep_at {
            self.addresses
                .retain(|_, address| address.connections > 0 || !address.connects.is_full(per_s, burst, now));
            self.sweep_at = self.addresses.len() + SWEEP_EVERY;
        }
        let address = self
            .addresses
            .entry(ip)
            .or_insert_with(|| Address { connections: 0, connects: Bucket::full(burst, now) });
        if let Some(max) = limits.connections_per_address_max.filter(|max| address.connections >= *max) {
            return Err(LimitError::Address(max));
        }
        if let Some(max) = limits.connects_per_s
            && !address.connects.take(1.0, per_s, burst, now)
        {
            // A refused attempt costs no token, so a client that keeps retrying connects eventually.
            address.connects.give_back(1.0);
            return Err(LimitError::Rate(max));
        }
        address.connections += 1;
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut table = self.limiter.table.lock().expect("no code that holds the table panics");
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
    fn a_closed_connection_makes_room_for_another_from_its_address() {
        let limits = Limits {
            connections_per_address_max: Some(1),
            connections_max: Some(2),
            connects_per_s: None,
            ..Limits::default()
        };
        let limiter = Arc::new(ConnectionLimiter::default());
        let [one, two, three] = [1, 2, 3].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let first = limiter.admit(one, &limits, start()).unwrap();
        assert_eq!(limiter.admit(one, &limits, start()).err(), Some(LimitError::Address(1)));
        let _second = limiter.admit(two, &limits, start()).unwrap();
        assert_eq!(limiter.admit(three, &limits, start()).err(), Some(LimitError::Server(2)));
        drop(first);
        assert!(limiter.admit(one, &limits, start()).is_ok());
    }

    #[test]
    fn idle_addresses_are_removed() {
        let limits = Limits { connects_per_s: Some(1), ..Limits::default() };
        let limiter = Arc::new(ConnectionLimiter::default());
        let now = start();
        for n in 0..10 * SWEEP_EVERY as u32 {
            let later = now + Duration::from_secs(n.into());
            drop(limiter.admit(Some(IpAddr::from(n.to_be_bytes())), &limits, later).unwrap());
        }
        assert!(limiter.table.lock().unwrap().addresses.len() <= 2 * SWEEP_EVERY);
    }
}
