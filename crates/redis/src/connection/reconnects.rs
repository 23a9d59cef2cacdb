//! A counter of connections that became usable, for [`recovery`](crate::recovery).

use tokio::sync::watch;

/// Counts how often any of the node's connections has become usable.
#[derive(Default)]
pub(crate) struct Reconnects(watch::Sender<u64>);

impl Reconnects {
    /// Called by a session once its connection is usable.
    pub(crate) fn record(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Changes with each recorded connection.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
