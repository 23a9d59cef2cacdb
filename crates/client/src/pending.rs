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
    requests: HashMap<u64, Pending>,
    last_id: u64,
}

struct Pending {
    reply: oneshot::Sender<Payload>,
    /// The frame to send again after a reconnect, if the request may be handled twice.
    again: Option<String>,
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
        table.requests.insert(id, Pending { reply: sender, again: None });
        (id, receiver)
    }

    /// Lets a request outlive its connection: the frame is sent again on the next one.
    pub(crate) fn repeat(&self, id: u64, frame: &str) {
        if let Some(pending) = self.table().requests.get_mut(&id) {
            pending.again = Some(frame.to_owned());
        }
    }

    /// The frames to send again, in the order of the requests.
    pub(crate) fn repeated(&self) -> Vec<String> {
        let table = self.table();
        let again = table.requests.iter().filter_map(|(id, pending)| Some((*id, pending.again.clone()?)));
        let mut again: Vec<(u64, String)> = again.collect();
        again.sort_unstable();
        again.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Removes a request, with or without its reply.
    pub(crate) fn remove(&self, id: u64) {
        self.table().requests.remove(&id);
    }

    /// Delivers a reply. A reply without a pending request is dropped.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) {
        let id = ack.to::<String>().ok().and_then(|id| id.parse().ok());
        if let Some(pending) = id.and_then(|id: u64| self.table().requests.remove(&id)) {
            // Fails if the request was cancelled at the same moment.
            let _ = pending.reply.send(data);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table().requests.is_empty()
    }

    /// Fails the pending requests that are not repeated. `ended` is true if there will be no further connection.
    pub(crate) fn fail(&self, ended: bool) {
        self.table().requests.retain(|_, pending| pending.again.is_some() && !ended);
    }
}
