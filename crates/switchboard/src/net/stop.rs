//! Stopping: connections are refused and closed, and handlers awaited.

use std::sync::atomic::Ordering;
use std::time::Duration;

use switchboard_ws::close::{CloseCode, close_frame};

use crate::api::app::App;
use crate::node::conn::Conn;

/// The reason in the close frame when the server stops.
pub(crate) const STOPPING: &str = "the server restarts";

/// How a server stops.
///
/// ```
/// # use std::time::Duration;
/// # use switchboard::Stopping;
/// let stopping = Stopping::default().with_window(Duration::from_secs(5));
/// assert_eq!(stopping.timeout, Duration::from_secs(10));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopping {
    /// Sockets are closed over this time, so that they do not all come back at once. Default 0.
    pub window: Duration,
    /// What runs longer than this after the window is left behind. Default 10 s.
    pub timeout: Duration,
}

impl Default for Stopping {
    fn default() -> Self {
        Stopping { window: Duration::ZERO, timeout: Duration::from_secs(10) }
    }
}

impl Stopping {
    /// Sets the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::Stopping;
    /// let stopping = Stopping::default().with_window(Duration::from_secs(5));
    /// ```
    pub fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets the time-out.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::Stopping;
    /// let stopping = Stopping::default().with_timeout(Duration::from_secs(30));
    /// ```
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Stops an app: refuses new connections, closes all sockets and waits for what runs.
pub(crate) async fn stop(app: &App, stopping: Stopping) {
    app.node().is_stopping.store(true, Ordering::Relaxed);
    let sessions = app.hub().index().all_sessions();
    let pause = stopping.window.checked_div(sessions.len() as u32).unwrap_or_default();
    let frame = close_frame(CloseCode::RESTART, STOPPING);
    let mut pauses = Duration::ZERO;
    for session in sessions {
        Conn::of(&session).closed_by_us(CloseCode::RESTART);
        app.hub().close(&session, frame.clone());
        pauses += pause;
        // A timer has no finer steps.
        if pauses >= Duration::from_millis(5) {
            tokio::time::sleep(std::mem::take(&mut pauses)).await;
        }
    }
    if tokio::time::timeout(stopping.timeout, app.node().tasks.finished()).await.is_err() {
        tracing::warn!("stopped with connections or handlers still running");
    }
    app.node().tasks.stop_services();
}
