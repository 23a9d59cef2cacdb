//! Requests that wait for their reply.

use std::collections::HashMap;
use std::sync::Mutex;

use switchboard_event::Payload;
use tokio::sync::oneshot;

/// Who waits for which reply.
#[derive(Default)]
pub(crate) struct Pending {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<u64, oneshot::Sender<Payload>>,
    next_id: u64,
}

impl Pending {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().expect("no code that holds the table panics")
    }

    /// A new id and where its reply will arrive.
    pub(crate) fn open(&self) -> (u64, oneshot::Receiver<Payload>) {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        table.next_id += 1;
        let id = table.next_id;
        table.waiting.insert(id, sender);
        (id, receiver)
    }

    /// Nobody waits any more.
    pub(crate) fn forget(&self, id: u64) {
        self.table().waiting.remove(&id);
    }

    /// Hands over a reply; one that nobody waits for is dropped.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) {
        let id = ack.to::<String>().ok().and_then(|id| id.parse().ok());
        if let Some(sender) = id.and_then(|id: u64| self.table().waiting.remove(&id)) {
            // Who asked may have given up in this moment.
            let _ = sender.send(data);
        }
    }

    /// Fails everything that waits.
    pub(crate) fn hang_up(&self) {
        self.table().waiting.clear();
    }
}
