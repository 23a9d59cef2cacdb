//! The record of handed-out entries that Redis still stores.

use std::collections::HashSet;

use crate::delivery::EntryKey;

/// The entries that were handed out and are still stored in Redis.
///
/// An entry is in one of three states: in progress, returned (waiting to be handed out again), or
/// acknowledged (to be removed from Redis). It stays known until Redis has removed it, so reading its
/// partition again does not deliver it twice.
#[derive(Default)]
pub(crate) struct Outstanding {
    /// Entries in any of the three states.
    known: HashSet<EntryKey>,
    acknowledged: Vec<EntryKey>,
    returned: HashSet<EntryKey>,
}

impl Outstanding {
    pub(crate) fn contains(&self, entry: EntryKey) -> bool {
        self.known.contains(&entry)
    }

    pub(crate) fn hand_out(&mut self, entry: EntryKey) {
        self.known.insert(entry);
        self.returned.remove(&entry);
    }

    pub(crate) fn acknowledge(&mut self, entry: EntryKey) {
        self.known.insert(entry);
        self.acknowledged.push(entry);
    }

    pub(crate) fn give_back(&mut self, entry: EntryKey) {
        self.returned.insert(entry);
    }

    pub(crate) fn is_returned(&self, entry: EntryKey) -> bool {
        self.returned.contains(&entry)
    }

    pub(crate) fn forget(&mut self, entry: EntryKey) {
        self.known.remove(&entry);
    }

    /// Forgets the returned and acknowledged entries of a partition. Entries in progress stay known.
    pub(crate) fn forget_partition(&mut self, partition: u16) {
        let is_of = |entry: &EntryKey| entry.0 == partition;
        let mut lost: HashSet<EntryKey> = self.returned.extract_if(is_of).collect();
        lost.extend(self.acknowledged.extract_if(.., |entry| is_of(entry)));
        self.known.retain(|entry| !lost.contains(entry));
    }

    /// Whether a partition has no returned and no acknowledged entries.
    pub(crate) fn is_settled(&self, partition: u16) -> bool {
        let is_of = |entry: &EntryKey| entry.0 == partition;
        !self.acknowledged.iter().any(is_of) && !self.returned.iter().any(is_of)
    }

    /// How many entries of a partition are in progress, including those that were handed out before this worker lost the
    /// partition and claimed it again.
    pub(crate) fn in_progress_in(&self, partition: u16) -> usize {
        let acknowledged: HashSet<&EntryKey> = self.acknowledged.iter().collect();
        let in_progress = |entry: &&EntryKey| {
            entry.0 == partition && !acknowledged.contains(entry) && !self.returned.contains(entry)
        };
        self.known.iter().filter(in_progress).count()
    }

    pub(crate) fn returned_in(&self, partition: u16) -> usize {
        self.returned.iter().filter(|entry| entry.0 == partition).count()
    }

    pub(crate) fn any_in_progress(&self) -> bool {
        self.known.len() > self.acknowledged.len() + self.returned.len()
    }

    pub(crate) fn acknowledged(&self) -> &[EntryKey] {
        &self.acknowledged
    }

    /// Redis has removed these entries.
    pub(crate) fn removed(&mut self, entries: &[EntryKey]) {
        let entries: HashSet<&EntryKey> = entries.iter().collect();
        self.acknowledged.retain(|entry| !entries.contains(entry));
        self.known.retain(|entry| !entries.contains(entry));
    }
}
