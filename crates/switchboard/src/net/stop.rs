//! The graceful stop: refuses new connections, closes sockets and waits for handlers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api::app::App;
use crate::net::drain::{Departure, Reason};
use crate::node::resume;

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

/// Stops an app: refuses new connections, sends all clients away and waits for connections and handlers.
pub(crate) async fn stop(app: &App, stopping: Stopping) {
    let node = app.node();
    node.is_stopping.store(true, Ordering::Relaxed);
    // A drain that is under way ends, because the stop gives every client a new slot.
    node.drain.end();
    // Other nodes take sessions over until the clients have gone.
    if node.is_single_node() {
        resume::end_all(node);
    }
    let departure = Departure::announce(node, stopping.window, Reason::Stop);
    tokio::select! {
        () = departure.run(node) => {}
        // Every client has left by itself.
        () = node.tasks.finished() => {}
    }
    resume::end_all(node);
    if tokio::time::timeout(stopping.timeout, node.tasks.finished()).await.is_err() {
        tracing::warn!("stop timed out; connections or handlers still running are abandoned");
    }
    node.tasks.stop_services();
}
