//! The revocations that a node knows, and the wake-up of the task that shares and loads them.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use metrics::gauge;
use switchboard_event::ProjectId;
use tokio::sync::Notify;

use crate::node::clock::now_ms;
use crate::node::revocations::table::RevocationTable;
use crate::node::verifier::Identity;

/// The revocations of a node.
pub(crate) struct Revocations {
    table: RwLock<RevocationTable>,
    /// Notified when publications of other nodes may have been lost, or one of this node was not shared.
    pub(super) refresh: Notify,
}

impl Default for Revocations {
    fn default() -> Self {
        // Shown from the start of the node.
        gauge!("switchboard_revocations").set(0.0);
        Revocations { table: RwLock::default(), refresh: Notify::new() }
    }
}

impl Revocations {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, RevocationTable> {
        self.table.read().expect("no code that holds the table panics")
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, RevocationTable> {
        self.table.write().expect("no code that holds the table panics")
    }

    /// Returns true if the token of an identity is revoked.
    pub(crate) fn include(&self, project: &ProjectId, identity: &Identity) -> bool {
        self.read().revokes(project, identity, now_ms())
    }

    /// Loads the stored revocations again, and shares those that are not shared yet.
    pub(crate) fn refresh(&self) {
        self.refresh.notify_one();
    }
}
