//! Who wants to know of which event.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use switchboard_event::{Payload, PayloadError};

type Listener = Arc<dyn Fn(Payload) + Send + Sync>;

/// An answer to a request of the server, on its way.
pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Option<Result<Payload, PayloadError>>> + Send>>;

type Answerer = Arc<dyn Fn(Payload) -> AnswerFuture + Send + Sync>;

/// All listeners of a client.
#[derive(Default)]
pub(crate) struct Listeners {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    listeners: HashMap<String, Vec<(u64, Listener)>>,
    answerers: HashMap<String, Answerer>,
    next_id: u64,
}

/// Undoes an `on`. Dropping it does not.
#[derive(Debug, Clone)]
pub struct Subscription {
    listeners: Weak<Listeners>,
    event: String,
    id: u64,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listeners")
    }
}

impl Subscription {
    /// The listener is not called any more.
    pub fn off(self) {
        if let Some(listeners) = self.listeners.upgrade() {
            listeners.remove(&self.event, Some(self.id));
        }
    }
}

impl Listeners {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().expect("no code that holds the listeners panics")
    }

    pub(crate) fn add(self: &Arc<Self>, event: &str, listener: Listener) -> Subscription {
        let mut table = self.table();
        table.next_id += 1;
        let id = table.next_id;
        table.listeners.entry(event.into()).or_default().push((id, listener));
        Subscription { listeners: Arc::downgrade(self), event: event.into(), id }
    }

    /// Takes out one listener of an event, or all.
    pub(crate) fn remove(&self, event: &str, id: Option<u64>) {
        let mut table = self.table();
        if let Some(listeners) = table.listeners.get_mut(event) {
            listeners.retain(|(own, _)| id.is_some_and(|id| id != *own));
            if listeners.is_empty() {
                table.listeners.remove(event);
            }
        }
    }

    pub(crate) fn answer_with(&self, event: &str, answerer: Answerer) {
        self.table().answerers.insert(event.into(), answerer);
    }

    pub(crate) fn answerer(&self, event: &str) -> Option<Answerer> {
        self.table().answerers.get(event).cloned()
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.table().listeners.contains_key(event)
    }

    /// Calls all listeners of an event, in the order they were added. One that panics is reported
    /// to `@error`, and the others are called all the same.
    pub(crate) fn call(&self, event: &str, data: &Payload) {
        let listeners = self.table().listeners.get(event).cloned().unwrap_or_default();
        for (_, listener) in listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(data.clone()))).is_err() {
                tracing::error!(event, "a listener panicked");
                if event != "@error" {
                    self.call("@error", &error_data(&format!("a listener of {event} panicked")));
                }
            }
        }
    }
}

/// The data of `@error`.
pub(crate) fn error_data(error: &str) -> Payload {
    Payload::of(&serde_json::json!({ "error": error })).expect("a text is JSON")
}
