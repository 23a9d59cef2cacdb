//! The notice of a server that it drains or stops, and that this client should move to another node.

use std::time::Duration;

use serde::Deserialize;
use switchboard_event::Payload;
use tokio::sync::watch;
use tokio::time::Instant;

/// The name of the notice.
pub(crate) const GOAWAY: &str = "@goaway";

/// The last notice on the current connection. `None` if there is none, or the server has cancelled it.
pub(crate) type Notices = watch::Sender<Option<Notice>>;

/// When to move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice {
    /// When this client is to open its next connection. The server spreads the slots of its clients.
    pub(crate) slot: Instant,
    /// How long the server waits after the slot.
    pub(crate) grace: Duration,
}

impl Notice {
    /// Reads a notice; `None` if it cancels an earlier one.
    pub(crate) fn read(data: &Payload) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            in_ms: u64,
            #[serde(default)]
            grace_ms: u64,
        }
        let Fields { in_ms, grace_ms } = data.to().ok()?;
        let slot = Instant::now().checked_add(Duration::from_millis(in_ms))?;
        Some(Notice { slot, grace: Duration::from_millis(grace_ms) })
    }
}
