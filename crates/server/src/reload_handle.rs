//! Requests to read the settings again, from the HTTP API to the task that applies them.

use tokio::sync::{mpsc, oneshot};

/// The changes of a reload, as keys of settings without their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Changed settings that are in effect.
    pub(crate) applied: Vec<String>,
    /// Changed settings that take effect at the next start.
    pub(crate) needs_restart: Vec<String>,
}

/// The outcome of a reload, or the error of the settings.
pub(crate) type ReloadOutcome = Result<Reloaded, String>;

/// Lets the settings be read again.
#[derive(Clone)]
pub(crate) struct ReloadHandle(mpsc::Sender<oneshot::Sender<ReloadOutcome>>);

/// The requests of all handles.
pub(crate) type ReloadRequests = mpsc::Receiver<oneshot::Sender<ReloadOutcome>>;

/// Reloads that wait. They are done one after another, and each takes milliseconds.
const WAITING_MAX: usize = 16;

impl ReloadHandle {
    pub(crate) fn new() -> (Self, ReloadRequests) {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        (ReloadHandle(sender), requests)
    }

    /// Reads the settings again and applies them. `None` if the server stops.
    pub(crate) async fn reload(&self) -> Option<ReloadOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        outcome.await.ok()
    }
}
