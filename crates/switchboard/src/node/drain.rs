//! Whether a node is draining: it sends its clients to other nodes and refuses new ones, but does not stop.

use std::sync::{Mutex, MutexGuard};

use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

/// The drain of a node.
#[derive(Default)]
pub(crate) struct Drain {
    /// Cancelled when the drain under way ends. `None` without a drain.
    under_way: Mutex<Option<CancellationToken>>,
}

impl Drain {
    fn under_way(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.under_way.lock().expect("no code that holds the drain panics")
    }

    /// Begins a drain. Returns the token that its end cancels, or `None` if the node drains already.
    pub(crate) fn begin(&self) -> Option<CancellationToken> {
        let mut under_way = self.under_way();
        if under_way.is_some() {
            return None;
        }
        gauge!("switchboard_draining").set(1.0);
        Some(under_way.insert(CancellationToken::new()).clone())
    }

    /// Ends the drain. Returns false if there is none.
    pub(crate) fn end(&self) -> bool {
        let ended = self.under_way().take();
        self.show();
        ended.inspect(CancellationToken::cancel).is_some()
    }

    /// The token that the end of the drain under way cancels; `None` without a drain.
    pub(crate) fn token(&self) -> Option<CancellationToken> {
        self.under_way().clone()
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way().is_some()
    }

    /// Sets the gauge, so that it exists before the first drain.
    pub(crate) fn show(&self) {
        gauge!("switchboard_draining").set(if self.is_under_way() { 1.0 } else { 0.0 });
    }
}

/// Counts go-away notices.
pub(crate) fn count_notices(notices: usize) {
    counter!("switchboard_goaways_total").increment(notices as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_begins_once_and_its_end_cancels_its_token() {
        let drain = Drain::default();
        assert!(!drain.is_under_way() && !drain.end());
        let first = drain.begin().expect("no drain is under way");
        assert!(drain.is_under_way() && drain.begin().is_none());
        assert!(drain.end() && first.is_cancelled() && !drain.is_under_way());
        assert!(drain.begin().is_some_and(|second| !second.is_cancelled()));
    }
}
