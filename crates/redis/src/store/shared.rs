//! State that the store shares with the task that writes it.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use metrics::counter;
use redis::RedisResult;
use switchboard_backplane::{KeepSessions, LocalMembers, LocalSessions};
use switchboard_event::{ProjectId, ShardName, SocketId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::changes::{Change, ChangeQueue};
use super::kept::Ended;
use super::lease::Leases;
use super::mirror::PresenceMirror;
use super::seats::LocalSeats;
use super::unreachable::UnreachableNodes;
use crate::connection::{Batch, RedisConnection, script};
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
    /// The sessions of this node that can be resumed elsewhere, and the bounds of those of other nodes that are kept.
    pub(super) sessions: OnceLock<(Weak<dyn LocalSessions>, KeepSessions)>,
    /// Wakes the writer, which then removes the entries of expired leases.
    pub(super) lease_expired: Notify,
    pub(super) unreachable: UnreachableNodes,
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
    /// Kept sessions are being ended.
    pub(super) is_ending_kept: bool,
}

impl StoreShared {
    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().connection.is_some()
    }

    /// The members on this node. `None` before the store has started and after the hub was dropped.
    pub(super) fn local(&self) -> Option<Arc<dyn LocalMembers>> {
        self.local.get()?.upgrade()
    }

    /// Removes the entries of an expired lease, after the reports of its clients, and keeps sessions for their clients.
    /// Returns false if another node does, or if nobody can report them yet.
    pub(super) async fn sweep(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<bool> {
        let reports = self.swept_clients.get();
        match reports {
            Some(reports) if !reports.claim(connection, lease).await? => return Ok(false),
            None if self.expects_reporter() => return Ok(false),
            Some(_) | None => {}
        }
        let bounds = self.sessions.get().map(|(_, bounds)| *bounds);
        let sessions_max = bounds.map_or(0, |bounds| bounds.sessions_max);
        let dropped = self.leases.begin_sweep(connection, lease, sessions_max).await?;
        counter!("switchboard_detached_sessions_total", "outcome" => "full").increment(dropped as u64);
        if let Some(reports) = reports {
            reports.report(connection, lease).await?;
        }
        self.leases.sweep(connection, lease, bounds.map(|bounds| bounds.keep)).await?;
        Ok(true)
    }

    /// Ends sessions of dead nodes that nobody has taken in time.
    pub(super) async fn end_kept(&self, connection: &mut RedisConnection) -> RedisResult<()> {
        for project in self.leases.projects_with_kept(connection).await? {
            self.end_kept_in(connection, &project).await?;
        }
        Ok(())
    }

    async fn end_kept_in(&self, connection: &mut RedisConnection, project: &ProjectId) -> RedisResult<()> {
        while let Some(Ended { kept, sockets }) = self.leases.end_kept(connection, project).await? {
            let ended = sockets.iter().filter(|(_, is_ended)| *is_ended).map(|(socket, _)| *socket);
            let ended: Vec<SocketId> = ended.collect();
            if let Some(reports) = self.swept_clients.get() {
                reports.report_kept(connection, project, &ended).await?;
            }
            counter!("switchboard_detached_sessions_total", "outcome" => "ended")
                .increment(ended.len() as u64);
            if !sockets.is_empty() {
                self.forget_all(connection, project, &sockets).await?;
            }
            self.leases.unlock_kept(connection, project).await?;
            if kept == 0 {
                self.leases.forget_project_with_kept(connection, project).await?;
            }
            if sockets.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Removes the entries of kept sessions that have ended.
    async fn forget_all(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
        sockets: &[(SocketId, bool)],
    ) -> RedisResult<()> {
        let (lease, names) = (self.state.borrow().lease.clone(), self.context.names.project(project));
        let calls = || {
            let mut batch = Batch::default();
            for (socket, _) in sockets {
                batch.push(names.base(), self.leases.forget_kept(&lease, project, *socket));
            }
            batch
        };
        let replies = script::run_batch(connection, &self.leases.scripts, calls).await?;
        replies.into_iter().try_for_each(|reply| reply.extract_error().map(drop))
    }

    fn expects_reporter(&self) -> bool {
        self.context.options.webhooks.is_some() && Instant::now() < self.reporter_expected_until
    }

    /// What another node needs to resume a session of this one.
    pub(super) fn record(&self, socket: SocketId) -> Option<Bytes> {
        self.sessions.get()?.0.upgrade()?.record(socket)
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
