//! Makes the node catch up after a connection to Redis was lost.
//!
//! The bus, the store, the inbox and the history have connections of their own, which return one after the other. Catching
//! up needs all of them: messages are read from the inbox, new ones arrive by the bus, and other nodes find
//! this node's users in the store. It therefore begins when all are up again.

use std::sync::Arc;

use crate::bus::RedisBus;
use crate::connection::{Backoff, Reconnects};
use crate::error::RequestError;
use crate::history::RedisHistory;
use crate::inbox::RedisInbox;
use crate::store::RedisStore;

/// The parts that must be up.
pub(crate) struct Recovery {
    pub(crate) bus: Arc<RedisBus>,
    pub(crate) store: Arc<RedisStore>,
    pub(crate) inbox: Option<Arc<RedisInbox>>,
    pub(crate) history: Option<Arc<RedisHistory>>,
}

impl Recovery {
    /// Notifies the bus' receiver after each reconnect.
    pub(crate) async fn run(self, reconnects: &Reconnects) {
        let mut reconnects = reconnects.subscribe();
        while reconnects.changed().await.is_ok() {
            let mut backoff = Backoff::default();
            while self.wait_until_up().await.is_err() {
                backoff.pause().await;
            }
            // If another part has reconnected in the meantime, the next round notifies.
            if matches!(reconnects.has_changed(), Ok(false))
                && let Some(receiver) = self.bus.receiver()
            {
                receiver.missed();
            }
        }
    }

    async fn wait_until_up(&self) -> Result<(), RequestError> {
        self.bus.wait_until_subscribed().await;
        if let Some(inbox) = &self.inbox {
            inbox.wait_until_up().await;
        }
        if let Some(history) = &self.history {
            history.wait_until_up().await;
        }
        self.store.settled_connection().await.map(drop)
    }
}
