//! Requests to read the settings again, or to show them, from the HTTP API to the task that applies them.

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

/// A setting in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownSetting {
    pub(crate) key: String,
    /// The value in TOML, `"***"` for a secret.
    pub(crate) value: String,
    /// The file and line, the variable or the flag that sets it. `None` for a default.
    pub(crate) source: Option<String>,
}

/// The settings in effect, and what a reload would change.
#[derive(Debug, Clone)]
pub(crate) struct SettingsView {
    pub(crate) settings: Vec<ShownSetting>,
    pub(crate) reload: ReloadOutcome,
}

/// A request of a handle, with the way for its answer.
pub(crate) enum SettingsRequest {
    Reload(oneshot::Sender<ReloadOutcome>),
    Show(oneshot::Sender<SettingsView>),
}

/// Lets the settings be read again.
#[derive(Clone)]
pub(crate) struct ReloadHandle(mpsc::Sender<SettingsRequest>);

/// The requests of all handles.
pub(crate) type ReloadRequests = mpsc::Receiver<SettingsRequest>;

/// Requests that wait. They are done one after another, and each takes milliseconds.
const WAITING_MAX: usize = 16;

impl ReloadHandle {
    pub(crate) fn new() -> (Self, ReloadRequests) {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        (ReloadHandle(sender), requests)
    }

    /// Reads the settings again and applies them. `None` if the server stops.
    pub(crate) async fn reload(&self) -> Option<ReloadOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(SettingsRequest::Reload(answer)).await.ok()?;
        outcome.await.ok()
    }

    /// The settings in effect, and what a reload would change. `None` if the server stops.
    pub(crate) async fn show(&self) -> Option<SettingsView> {
        let (answer, view) = oneshot::channel();
        self.0.send(SettingsRequest::Show(answer)).await.ok()?;
        view.await.ok()
    }
}
