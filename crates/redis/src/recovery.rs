//! After a part of the connection to Redis was lost: what was said or kept meanwhile was missed.
//!
//! Hearing, presence and inboxes have connections of their own, which come back one after the other. Who asks for
//! what was missed needs all of them, and who keeps a message tells the nodes that stand in the presence; so only
//! when all are back, and this node stands there again, is it time to look.

use std::sync::Arc;

use tokio::sync::watch;

use crate::connection::backoff::Backoff;
use crate::store::NoAnswer;
use crate::{RedisBus, RedisInbox, RedisStore};

/// What has to be there.
pub(crate) struct Parts {
    pub(crate) bus: Arc<RedisBus>,
    pub(crate) store: Arc<RedisStore>,
    pub(crate) inbox: Option<Arc<RedisInbox>>,
}

impl Parts {
    /// Has the node look for what it missed, after each comeback of a part, as long as somebody polls.
    pub(crate) async fn look_after(self, mut comebacks: watch::Receiver<u64>) {
        while comebacks.changed().await.is_ok() {
            let mut backoff = Backoff::default();
            while self.are_back().await.is_err() {
                backoff.pause().await;
            }
            // If another part has come back meanwhile, all is looked for when that is waited for.
            if matches!(comebacks.has_changed(), Ok(false))
                && let Some(receiver) = self.bus.receiver()
            {
                receiver.missed();
            }
        }
    }

    async fn are_back(&self) -> Result<(), NoAnswer> {
        self.bus.hears().await;
        if let Some(inbox) = &self.inbox {
            inbox.up().await;
        }
        self.store.link().await.map(drop)
    }
}
