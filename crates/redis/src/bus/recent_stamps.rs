//! Recognizes copies of a publication that arrives on several channels.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::envelope::Stamp;

/// Number of remembered stamps. Copies arrive one after the other; in a cluster, those of other slots may
/// arrive in between.
const STAMPS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct RecentStamps(Mutex<VecDeque<Stamp>>);

impl RecentStamps {
    /// Returns false if the stamp is already known.
    pub(super) fn insert(&self, stamp: Stamp) -> bool {
        let mut stamps = self.0.lock().expect("no code that holds the stamps panics");
        if stamps.contains(&stamp) {
            return false;
        }
        stamps.push_back(stamp);
        if stamps.len() > STAMPS_MAX {
            stamps.pop_front();
        }
        true
    }
}
