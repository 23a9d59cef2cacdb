//! The listeners and request handlers of a client, by event.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use switchboard_event::{Payload, PayloadError};
use switchboard_log::{limited, printable};

type Listener = Arc<dyn Fn(Payload) + Send + Sync>;

/// Resolves to the reply to a request of the server, or to `None` for no reply.
pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Option<Result<Payload, PayloadError>>> + Send>>;

pub(crate) type Handler = Arc<dyn Fn(Payload) -> ReplyFuture + Send + Sync>;

#[derive(Default)]
pub(crate) struct Listeners {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    listeners: HashMap<String, Vec<(u64, Listener)>>,
    handlers: HashMap<String, Handler>,
    next_id: u64,
}

/// A registered listener. Dropping the subscription does not remove the listener.
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
    /// Removes the listener.
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

    /// Removes one listener of an event, or all if `id` is `None`.
    pub(crate) fn remove(&self, event: &str, id: Option<u64>) {
        let mut table = self.table();
        if let Some(listeners) = table.listeners.get_mut(event) {
            listeners.retain(|(own, _)| id.is_some_and(|id| id != *own));
            if listeners.is_empty() {
                table.listeners.remove(event);
            }
        }
    }

    /// Sets the handler for the server's requests of an event, replacing a previous one.
    pub(crate) fn set_handler(&self, event: &str, handler: Handler) {
        self.table().handlers.insert(event.into(), handler);
    }

    pub(crate) fn handler(&self, event: &str) -> Option<Handler> {
        self.table().handlers.get(event).cloned()
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.table().listeners.contains_key(event)
    }

    /// Calls all listeners of an event, in the order they were added. A panic is reported to `@error` and does
    /// not prevent the calls of the others.
    pub(crate) fn call(&self, event: &str, data: &Payload) {
        let listeners = self.table().listeners.get(event).cloned().unwrap_or_default();
        for (_, listener) in listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(data.clone()))).is_err() {
                limited!(ERROR, event = printable(event), "listener panicked; the event counts as delivered");
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
