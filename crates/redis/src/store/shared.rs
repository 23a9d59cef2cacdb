//! State that the store shares with the task that writes it.

use std::sync::{Arc, OnceLock, Weak};

use redis::RedisResult;
use switchboard_backplane::LocalMembers;
use switchboard_event::{ProjectId, ShardName, SocketId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::changes::{Change, ChangeQueue};
use super::lease::Leases;
use super::mirror::PresenceMirror;
use super::seats::LocalSeats;
use crate::connection::RedisConnection;
use crate::context::Context;
use crate::reports::SweptClients;

pub(super) struct StoreShared {
    pub(super) context: Arc<Context>,
    pub(super) leases: Arc<Leases>,
    pub(super) mirror: Option<Arc<dyn PresenceMirror>>,
    pub(super) local: OnceLock<Weak<dyn LocalMembers>>,
    pub(super) changes: ChangeQueue,
    pub(super) seats: LocalSeats,
    pub(super) swept_clients: OnceLock<SweptClients>,
    /// Until then a sweep waits until the program has set the reporter of swept clients, which it does soon after it has connected.
    pub(super) reporter_expected_until: Instant,
    pub(super) state: watch::Sender<StoreState>,
}

/// Progress of the store.
#[derive(Clone, Default)]
pub(super) struct StoreState {
    /// The connection, while it is up.
    pub(super) connection: Option<RedisConnection>,
    /// Id of the lease under which this node writes.
    pub(super) lease: String,
    /// Number of changes written so far.
    pub(super) written: u64,
    /// Entries of a dead node are being removed.
    pub(super) is_sweeping: bool,
}

impl StoreShared {
    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().connection.is_some()
    }

    /// The members on this node. `None` before the store has started and after the hub was dropped.
    pub(super) fn local(&self) -> Option<Arc<dyn LocalMembers>> {
        self.local.get()?.upgrade()
    }

    /// Removes the entries of an expired lease, after the reports of its clients. Returns false if another node does, or if
    /// nobody can report them yet.
    pub(super) async fn sweep(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<bool> {
        match self.swept_clients.get() {
            Some(clients) if !clients.report(connection, lease).await? => return Ok(false),
            None if self.expects_reporter() => return Ok(false),
            Some(_) | None => {}
        }
        self.leases.sweep(connection, lease).await?;
        Ok(true)
    }

    fn expects_reporter(&self) -> bool {
        self.context.options.webhooks.is_some() && Instant::now() < self.reporter_expected_until
    }

    /// Returns true if the project's presence is copied for original servers.
    pub(super) fn has_copies(&self, project: &ProjectId) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| !mirror.copies(project).is_empty())
    }

    pub(super) fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId) {
        // Removed before the seat, so that a node that is notified of the change no longer finds the socket.
        for target in self.seats.remove(socket).into_iter().flat_map(|seat| seat.entered_with_seat) {
            self.changes.push(project, Change::Leave(target, socket));
        }
        self.changes.push(project, Change::LeaveSeat(shard.clone(), socket));
    }
}
