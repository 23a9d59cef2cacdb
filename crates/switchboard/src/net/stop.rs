//! The graceful stop: refuses new connections, closes sockets and waits for handlers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchboard_hub::Session;
use switchboard_ws::close::{CloseCode, close_frame};

use crate::api::app::App;
use crate::node::connection_state::{ConnectionState, is_closed};
use crate::node::resume;

/// Reason in the close frame when the server stops.
pub(crate) const STOPPING: &str = "the server restarts";

/// Window and time-out of a graceful stop.
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
    /// Time over which sockets are closed, so that clients do not all reconnect at once. It ends with the last socket.
    /// Default 0.
    pub window: Duration,
    /// How long to wait for connections and handlers after the window; the rest is abandoned. Default 10 s.
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

/// Stops an app: refuses new connections, closes all sockets and waits for connections and handlers.
pub(crate) async fn stop(app: &App, stopping: Stopping) {
    app.node().is_stopping.store(true, Ordering::Relaxed);
    resume::end_all(app.node());
    let sessions = app.hub().index().all_sessions();
    tokio::select! {
        () = close_within(app, sessions, stopping.window) => {}
        // Every client has left by itself.
        () = app.node().tasks.finished() => {}
    }
    if tokio::time::timeout(stopping.timeout, app.node().tasks.finished()).await.is_err() {
        tracing::warn!("stop timed out; connections or handlers still running are abandoned");
    }
    app.node().tasks.stop_services();
}

/// Closes sockets spread over a window. Those that have disconnected meanwhile, and the last one, cost no pause.
async fn close_within(app: &App, sessions: Vec<Arc<Session>>, window: Duration) {
    let pause = window.checked_div(sessions.len() as u32).unwrap_or_default();
    let frame = close_frame(CloseCode::RESTART, STOPPING);
    let mut pauses = Duration::ZERO;
    for session in sessions {
        // Short pauses are summed, because timers are not precise enough.
        if pauses >= Duration::from_millis(5) {
            tokio::time::sleep(std::mem::take(&mut pauses)).await;
        }
        if is_closed(&session) {
            continue;
        }
        ConnectionState::of(&session).record_close_code(CloseCode::RESTART);
        app.hub().close(&session, frame.clone());
        pauses += pause;
    }
}
