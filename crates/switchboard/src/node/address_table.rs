//! State of each client address, kept while it matters.
//!
//! An address is an IPv4 address or an IPv6 network of 64 bits. Idle addresses are removed every
//! [`SWEEP_INTERVAL`] by the owner of the table, and earlier if there are many new ones, so the table does not
//! grow with the number of addresses that were ever seen.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::node::network::network;

/// How often the owner of a table removes idle addresses.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Idle addresses are also removed when there are this many more than after the last time.
pub(crate) const SWEEP_EVERY: usize = 1024;

/// Values by address.
pub(crate) struct AddressTable<T> {
    addresses: HashMap<IpAddr, T>,
    sweep_at: usize,
}

impl<T> Default for AddressTable<T> {
    fn default() -> Self {
        AddressTable { addresses: HashMap::new(), sweep_at: SWEEP_EVERY }
    }
}

impl<T> AddressTable<T> {
    /// The value of an address that is known.
    pub(crate) fn get_mut(&mut self, ip: IpAddr) -> Option<&mut T> {
        self.addresses.get_mut(&network(ip))
    }

    /// The value of an address; `new` makes that of an unknown one.
    pub(crate) fn entry(
        &mut self,
        ip: IpAddr,
        is_idle: impl Fn(&T) -> bool,
        new: impl FnOnce() -> T,
    ) -> &mut T {
        if self.addresses.len() >= self.sweep_at {
            self.sweep(is_idle);
        }
        self.addresses.entry(network(ip)).or_insert_with(new)
    }

    /// Removes idle addresses, and frees their memory after a peak.
    pub(crate) fn sweep(&mut self, is_idle: impl Fn(&T) -> bool) {
        self.addresses.retain(|_, value| !is_idle(value));
        if self.addresses.capacity() > 4 * self.addresses.len().max(16) {
            self.addresses.shrink_to_fit();
        }
        self.sweep_at = self.addresses.len() + SWEEP_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: usize) -> IpAddr {
        IpAddr::from((n as u32).to_be_bytes())
    }

    #[test]
    fn idle_addresses_are_removed_when_many_are_new_and_others_stay() {
        let mut table = AddressTable::default();
        *table.entry(ip(0), |is_idle| *is_idle, || false) = false;
        for n in 1..10 * SWEEP_EVERY {
            table.entry(ip(n), |is_idle| *is_idle, || true);
            assert!(table.addresses.len() <= SWEEP_EVERY + 1);
        }
        assert!(table.get_mut(ip(0)).is_some());
    }

    #[test]
    fn a_sweep_frees_the_memory_of_a_peak() {
        let mut table = AddressTable::default();
        for n in 0..10 * SWEEP_EVERY {
            table.entry(ip(n), |()| false, || ());
        }
        assert_eq!(table.addresses.len(), 10 * SWEEP_EVERY);
        table.sweep(|()| true);
        assert_eq!(table.addresses.len(), 0);
        assert!(table.addresses.capacity() < 100);
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_have_one_value() {
        let mut table = AddressTable::default();
        let address = |ip: &str| ip.parse().unwrap();
        *table.entry(address("2001:db8::1"), |_| false, || 0) += 1;
        *table.entry(address("2001:db8::ffff:2"), |_| false, || 0) += 1;
        *table.entry(address("2001:db8:0:1::1"), |_| false, || 0) += 1;
        assert_eq!(table.get_mut(address("2001:db8::")), Some(&mut 2));
    }
}
