//! A counter of connections that work (again), for [`recovery`](crate::recovery).

use tokio::sync::watch;

/// Counts how often a connection has become usable, whichever it is.
#[derive(Default)]
pub(crate) struct Reconnects(watch::Sender<u64>);

impl Reconnects {
    /// To be called by a session once its connection is usable.
    pub(crate) fn record(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Changes with each recorded connection.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
