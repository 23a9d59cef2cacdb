//! Receivers whose outbox was full, until a task attends to them.

use std::sync::{Arc, Mutex};

use switchboard_hub::Session;
use tokio::sync::Notify;

/// Receivers to which no task attends yet. The hub reports each at most once, so it holds at most all sessions.
#[derive(Default)]
pub(crate) struct OverflowedReceivers {
    sessions: Mutex<Vec<Arc<Session>>>,
    added: Notify,
}

impl OverflowedReceivers {
    /// Adds a receiver. May be called on any thread, inside of a runtime or not.
    pub(crate) fn add(&self, session: Arc<Session>) {
        self.sessions.lock().expect("no code that holds the sessions panics").push(session);
        self.added.notify_one();
    }

    /// Waits for receivers, and removes them.
    pub(crate) async fn take(&self) -> Vec<Arc<Session>> {
        loop {
            let sessions = std::mem::take(&mut *self.sessions.lock().expect("as above"));
            if !sessions.is_empty() {
                return sessions;
            }
            self.added.notified().await;
        }
    }
}
