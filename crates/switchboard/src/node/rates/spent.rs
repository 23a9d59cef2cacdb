//! This node's counts since it last shared them.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::node::rates::table::RateTableKey;

/// Most keys between two exchanges. Further ones are counted by this node alone.
const KEYS_MAX: usize = 65_536;

/// The counts of this node for keys that nodes share.
#[derive(Default)]
pub(crate) struct Spent(Mutex<HashMap<RateTableKey, KeySpent>>);

/// The count of one key.
pub(crate) struct KeySpent {
    /// The key as all nodes write it.
    pub(crate) name: String,
    pub(crate) cost_ns: u64,
}

impl Spent {
    /// Adds a count. `name` makes the key as all nodes write it.
    pub(crate) fn add(&self, key: RateTableKey, cost_ns: u64, name: impl FnOnce() -> String) {
        let mut keys = self.0.lock().expect("no code that holds the lock panics");
        if let Some(known) = keys.get_mut(&key) {
            known.cost_ns = known.cost_ns.saturating_add(cost_ns);
        } else if keys.len() < KEYS_MAX {
            keys.insert(key, KeySpent { name: name(), cost_ns });
        }
    }

    /// Takes all counts.
    pub(crate) fn take(&self) -> HashMap<RateTableKey, KeySpent> {
        std::mem::take(&mut *self.0.lock().expect("no code that holds the lock panics"))
    }
}
