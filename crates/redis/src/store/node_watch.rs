//! Waiting until a node that does not answer has no lease any more.
//!
//! A killed node has no connection to Redis, so nobody is subscribed to the channel of its sockets. If that lasts for longer
//! than a reconnect, its lease is ended at once. Any other node keeps its lease as long as it renews it.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use switchboard_backplane::StoredSession;
use switchboard_event::{NodeId, ProjectId, SocketId};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::shared::StoreShared;
use crate::error::RequestError;

/// How often a node is looked up.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// For how long nobody must be subscribed. A reconnect begins after at most 1.5 s.
const UNREACHABLE_MIN: Duration = Duration::from_secs(2);

/// How long a node is watched beyond the length of a lease.
const WATCH_EXTRA: Duration = Duration::from_secs(4);

impl StoreShared {
    /// Completes when a node has no lease any more, or after a while. `socket` is a session that it holds.
    pub(super) async fn node_ended(self: &Arc<Self>, project: &ProjectId, socket: SocketId) {
        let mut ended = self.watch_node(project, socket);
        // Fails when the task has ended.
        while ended.changed().await.is_ok() {}
    }

    fn watch_node(self: &Arc<Self>, project: &ProjectId, socket: SocketId) -> watch::Receiver<()> {
        let node = socket.node();
        let mut watched = self.unreachable.lock();
        if let Some(ended) = watched.get(&node) {
            return ended.clone();
        }
        let (alive, ended) = watch::channel(());
        watched.insert(node, ended.clone());
        let (shared, project) = (self.clone(), project.clone());
        self.context.spawn(async move {
            shared.watch(&project, socket).await;
            shared.unreachable.lock().remove(&node);
            drop(alive);
        });
        ended
    }

    async fn watch(&self, project: &ProjectId, socket: SocketId) {
        let end = Instant::now() + self.context.options.lease + WATCH_EXTRA;
        let mut unreachable_since = None;
        while Instant::now() < end {
            match self.is_reachable(project, socket).await {
                Ok(None) => return,
                Ok(Some(false)) => {
                    let since = *unreachable_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNREACHABLE_MIN && self.expire(socket.node()).await.is_ok() {
                        self.lease_expired.notify_one();
                    }
                }
                // Redis is away, too.
                Ok(Some(true)) | Err(_) => unreachable_since = None,
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Returns whether a node receives publications; `None` if it has no lease.
    async fn is_reachable(
        &self,
        project: &ProjectId,
        socket: SocketId,
    ) -> Result<Option<bool>, RequestError> {
        let mut connection = self.state.borrow().connection.clone().ok_or(RequestError::Disconnected)?;
        let nodes = self.leases.list(&mut connection).await?;
        if nodes.iter().all(|lease| lease.node != socket.node()) {
            return Ok(None);
        }
        let session = self.leases.session(&connection, project, socket).await?;
        Ok(Some(!matches!(session, StoredSession::Held { is_reachable: false })))
    }

    async fn expire(&self, node: NodeId) -> RedisResult<()> {
        let connection = self.state.borrow().connection.clone();
        match connection {
            Some(mut connection) => self.leases.expire(&mut connection, node).await,
            None => Ok(()),
        }
    }
}
