//! The record of a project on one node.

use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard_event::{ProjectId, Target};

/// A project with at least one local socket.
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Part of a member set's key: cheaper to hash and compare than the id.
    pub(crate) serial: u64,
    pub(crate) sockets: AtomicUsize,
    users: AtomicUsize,
}

impl Project {
    pub(crate) fn new(id: ProjectId, serial: u64) -> Self {
        Project { id, serial, sockets: AtomicUsize::new(0), users: AtomicUsize::new(0) }
    }

    /// Local sockets.
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Users with a local socket.
    pub fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }

    /// Counts a user that came online (1) or went offline (-1). Other targets are not counted.
    pub(crate) fn count_user(&self, target: &Target, by: isize) {
        if let Target::User(_) = target {
            self.users.fetch_add(by as usize, Ordering::Relaxed);
        }
    }
}
