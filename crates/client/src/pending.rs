//! Requests that wait for their reply.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use switchboard_event::Payload;
use tokio::sync::oneshot;

#[derive(Default)]
pub(crate) struct PendingRequests {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    replies: HashMap<u64, oneshot::Sender<Payload>>,
    last_id: u64,
}

impl PendingRequests {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no code that holds the table panics")
    }

    /// Assigns an id to a request, and returns it with the receiver of the reply.
    pub(crate) fn register(&self) -> (u64, oneshot::Receiver<Payload>) {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        table.last_id += 1;
        let id = table.last_id;
        table.replies.insert(id, sender);
        (id, receiver)
    }

    /// Removes a request, with or without its reply.
    pub(crate) fn remove(&self, id: u64) {
        self.table().replies.remove(&id);
    }

    /// Delivers a reply. A reply without a pending request is dropped.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) {
        let id = ack.to::<String>().ok().and_then(|id| id.parse().ok());
        if let Some(sender) = id.and_then(|id: u64| self.table().replies.remove(&id)) {
            // Fails if the request was cancelled at the same moment.
            let _ = sender.send(data);
        }
    }

    /// Fails all pending requests.
    pub(crate) fn fail_all(&self) {
        self.table().replies.clear();
    }
}
