//! How much of their budgets all keys of all rules have used: two numbers for each key, 17 bytes with the byte of the hash table.
//!
//! A key is the keyed hash of the rule and of the user, address or project. Two keys with one hash would share a budget; among
//! a million keys that happens once in about 40 million servers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard};

use switchboard_event::{Cell, Limited};

/// Number of parts, each with a lock of its own.
const STRIPES: usize = 64;

/// Keys that are compared to find one to evict.
const EVICTION_SAMPLE: usize = 8;

/// The hash of a rule and a user, address or project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RateTableKey(pub(crate) u64);

/// How a rule counts a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) interval_ns: u64,
    pub(crate) burst: u32,
}

/// The use of keys.
pub(crate) struct RateTable {
    stripes: [Mutex<Cells>; STRIPES],
}

type Cells = HashMap<RateTableKey, Cell, BuildHasherDefault<KeyHasher>>;

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is written as one number")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

impl Default for RateTable {
    fn default() -> Self {
        RateTable { stripes: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl RateTable {
    fn stripe(&self, key: RateTableKey) -> MutexGuard<'_, Cells> {
        // Neither the bits by which the hash table places a key, nor those that it compares.
        let stripe = (key.0 >> 40) as usize % STRIPES;
        self.stripes[stripe].lock().expect("no code that holds the lock panics")
    }

    /// Counts one event for a key. Returns true if another key was evicted for it, because there were `keys_max`.
    pub(crate) fn take(
        &self,
        key: RateTableKey,
        pace: Pace,
        keys_max: usize,
        now_ns: u64,
    ) -> Result<bool, Limited> {
        let mut cells = self.stripe(key);
        if let Some(cell) = cells.get_mut(&key) {
            cell.take(pace.interval_ns, pace.burst, now_ns)?;
            return Ok(false);
        }
        let mut cell = Cell::default();
        cell.take(pace.interval_ns, pace.burst, now_ns)?;
        let must_evict = cells.len() >= keys_max.div_ceil(STRIPES);
        if must_evict {
            evict(&mut cells);
        }
        cells.insert(key, cell);
        Ok(must_evict)
    }

    /// Takes the count of one event back.
    pub(crate) fn give_back(&self, key: RateTableKey, pace: Pace) {
        if let Some(cell) = self.stripe(key).get_mut(&key) {
            cell.give_back(pace.interval_ns);
        }
    }

    /// Raises the use of a key to the sum of all nodes.
    pub(crate) fn raise(&self, key: RateTableKey, until_ns: u64) {
        if let Some(cell) = self.stripe(key).get_mut(&key) {
            cell.0 = cell.0.max(until_ns);
        }
    }

    /// Forgets keys that no longer matter. Returns the number of the others.
    pub(crate) fn sweep(&self, now_ns: u64) -> usize {
        let sweep = |stripe: &Mutex<Cells>| {
            let mut cells = stripe.lock().expect("no code that holds the lock panics");
            cells.retain(|_, cell| !cell.is_idle(now_ns));
            if cells.capacity() > 4 * cells.len().max(16) {
                cells.shrink_to_fit();
            }
            cells.len()
        };
        self.stripes.iter().map(sweep).sum()
    }

    #[cfg(test)]
    fn capacities(&self) -> Vec<usize> {
        self.stripes.iter().map(|stripe| stripe.lock().unwrap().capacity()).collect()
    }
}

/// Removes, of a few keys, the one that has used the least of its budget: forgetting it gives it the least in addition.
fn evict(cells: &mut Cells) {
    let least = cells.iter().take(EVICTION_SAMPLE).min_by_key(|(_, cell)| cell.0).map(|(key, _)| *key);
    if let Some(key) = least {
        cells.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    const PACE: Pace = Pace { interval_ns: 100, burst: 2 };

    fn keys(count: u64) -> impl Iterator<Item = RateTableKey> {
        let hasher = RandomState::new();
        (0..count).map(move |number| RateTableKey(hasher.hash_one(number)))
    }

    #[test]
    fn a_million_keys_take_at_most_64_megabytes() {
        let table = RateTable::default();
        for key in keys(1_000_000) {
            assert_eq!(table.take(key, PACE, 1_100_000, 1), Ok(false));
        }
        assert_eq!(size_of::<(RateTableKey, Cell)>(), 16);
        // The hash table has one byte for each bucket, and at least an eighth of the buckets is free.
        let bytes: usize =
            table.capacities().iter().map(|capacity| (capacity * 8 / 7).next_power_of_two() * 17).sum();
        assert!(bytes <= 64_000_000, "{bytes} bytes");
        assert_eq!(table.sweep(101), 0);
        assert!(table.capacities().iter().sum::<usize>() < 10_000);
    }

    #[test]
    fn each_key_has_its_own_budget() {
        let table = RateTable::default();
        for key in keys(1000) {
            for expected in [true, true, false] {
                assert_eq!(table.take(key, PACE, 10_000, 1000).is_ok(), expected);
            }
        }
        assert_eq!(table.sweep(1199), 1000);
        assert_eq!(table.sweep(1200), 0);
    }

    #[test]
    fn at_the_bound_a_key_that_has_used_little_makes_room() {
        let table = RateTable::default();
        let busy = RateTableKey(7 << 40);
        for _ in 0..2 {
            table.take(busy, PACE, STRIPES * 4, 1000).unwrap();
        }
        let others = (1..100).map(|number| RateTableKey((7 << 40) + number));
        let evictions = others.filter(|key| table.take(*key, PACE, STRIPES * 4, 1000).unwrap()).count();
        assert_eq!(evictions, 96);
        assert!(table.take(busy, PACE, STRIPES * 4, 1000).is_err(), "the one that has used most stays");
    }

    #[test]
    fn what_other_nodes_have_counted_raises_the_use_and_never_lowers_it() {
        let (table, key) = (RateTable::default(), RateTableKey(1));
        table.take(key, PACE, 100, 1000).unwrap();
        table.raise(key, 1200);
        assert!(table.take(key, PACE, 100, 1000).is_err());
        table.raise(key, 1000);
        assert!(table.take(key, PACE, 100, 1000).is_err());
        table.give_back(key, PACE);
        assert!(table.take(key, PACE, 100, 1000).is_ok());
    }
}
