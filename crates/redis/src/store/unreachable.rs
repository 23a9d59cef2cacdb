//! The nodes that hold sessions and do not answer. Each has one task, however many clients wait for its end.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use switchboard_event::NodeId;
use tokio::sync::watch;

/// The nodes that are watched. The sender is dropped at the end of the task.
#[derive(Default)]
pub(super) struct UnreachableNodes(Mutex<HashMap<NodeId, watch::Receiver<()>>>);

impl UnreachableNodes {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, watch::Receiver<()>>> {
        self.0.lock().expect("no code that holds the nodes panics")
    }
}
