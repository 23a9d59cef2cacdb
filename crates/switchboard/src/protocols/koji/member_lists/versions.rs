//! The versions of a shard's list that outboxes still hold.
//!
//! All receivers share one frame of a list. A client that stops reading holds the version that was being sent to it,
//! so many such clients could hold many versions. Together they are bounded in bytes: beyond the bound the clients
//! with the oldest version are closed.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;

/// Versions in the order in which they were made.
#[derive(Default)]
pub(crate) struct Versions {
    held: VecDeque<Version>,
}

struct Version {
    /// Expires with the last copy of the frame.
    is_held: Weak<()>,
    address: usize,
    bytes: usize,
}

/// A frame with a reference count, which tells whether an outbox still holds the frame.
struct MarkedFrame {
    frame: Bytes,
    _is_held: Arc<()>,
}

impl AsRef<[u8]> for MarkedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Versions {
    /// Adds the frame of a new version. Returns the frame to be sent.
    pub(crate) fn add(&mut self, frame: Bytes) -> Bytes {
        self.held.retain(|version| version.is_held.strong_count() > 0);
        let is_held = Arc::new(());
        self.held.push_back(Version {
            is_held: Arc::downgrade(&is_held),
            address: frame.as_ptr() as usize,
            bytes: frame.len(),
        });
        Bytes::from_owner(MarkedFrame { frame, _is_held: is_held })
    }

    /// The addresses of the oldest versions beyond `bytes_max`. The newest is never among them.
    pub(crate) fn excess(&mut self, bytes_max: usize) -> Vec<usize> {
        self.held.retain(|version| version.is_held.strong_count() > 0);
        let mut bytes: usize = self.held.iter().map(|version| version.bytes).sum();
        let mut excess = Vec::new();
        while bytes > bytes_max && self.held.len() > 1 {
            let Some(oldest) = self.held.pop_front() else { break };
            bytes -= oldest.bytes;
            excess.push(oldest.address);
        }
        excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_are_held_count_and_the_oldest_are_in_excess() {
        let mut versions = Versions::default();
        let mut add = |bytes: usize| {
            let frame = versions.add(vec![b'x'; bytes].into());
            (frame.as_ptr() as usize, frame)
        };
        let [(first, a), (_, b), (third, c), (_, d)] = [10, 20, 30, 40].map(&mut add);
        drop(b);
        let shared = a.clone();
        drop(a);
        assert_eq!(versions.excess(80), [0; 0], "10, 30 and 40 bytes are held");
        assert_eq!(versions.excess(79), [first]);
        assert_eq!(versions.excess(0), [third], "the newest stays");
        drop((shared, c, d));
        let (_, last) = (0, versions.add(Bytes::from_static(b"xy")));
        assert_eq!((versions.held.len(), versions.excess(0).len(), &last[..]), (1, 0, &b"xy"[..]));
    }
}
