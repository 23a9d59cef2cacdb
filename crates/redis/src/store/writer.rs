//! The one task that writes presence: it holds the lease, writes changes in their order, and writes the whole
//! presence again when the lease or Redis' data is lost.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use redis::RedisResult;
use switchboard_log::{printable, printable_error};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::calls::Calls;
use super::changes::{Change, ChangeBatch};
use super::lease::{Lease, WriteError};
use super::seats::Seat;
use super::shared::StoreShared;
use crate::connection::{RedisConnection, Session, Up, script};

/// Maximum number of changes in one pipeline.
const BATCH_MAX: usize = 1024;

pub(super) struct StoreWriter {
    shared: Arc<StoreShared>,
    lease: Option<Lease>,
    /// Identifies the data that holds the lease. Empty until it is known.
    data_id: String,
    /// Changes that may have been sent and have no reply yet.
    unconfirmed: ChangeBatch,
    renewal: Interval,
    meters: Meters,
}

struct Meters {
    written: Counter,
    rewrites: Counter,
    swept: Counter,
    nodes: Gauge,
}

impl StoreWriter {
    /// `lease` is the lease of this node, if it has claimed one.
    pub(super) fn new(shared: Arc<StoreShared>, lease: Option<Lease>) -> Self {
        let mut renewal = interval(shared.context.options.renew_interval());
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let meters = Meters {
            written: counter!("switchboard_store_changes_total"),
            rewrites: counter!("switchboard_presence_rewrites_total"),
            swept: counter!("switchboard_leases_swept_total"),
            nodes: gauge!("switchboard_nodes"),
        };
        let (data_id, unconfirmed) = (String::new(), ChangeBatch::default());
        StoreWriter { shared, lease, data_id, unconfirmed, renewal, meters }
    }

    /// Publishes the connection and the lease to the store.
    fn set_up(&self, connection: &RedisConnection) {
        let lease = self.lease.as_ref().map(|lease| lease.id.clone()).unwrap_or_default();
        self.shared
            .state
            .send_modify(|state| (state.connection, state.lease) = (Some(connection.clone()), lease));
        self.shared.context.reconnects.record();
    }

    /// Continues with the current lease, or claims a new one and queues the whole presence.
    async fn begin(&mut self, connection: &mut RedisConnection) -> Result<(), WriteError> {
        let leases = self.shared.leases.clone();
        leases.load(connection).await?;
        let data_id = connection.data_id().await?;
        if let Some(lease) = &self.lease {
            let is_same_data = self.data_id.is_empty() || self.data_id == data_id;
            if !is_same_data || !leases.renew(connection, &lease.id).await?.is_ours {
                return Err(WriteError::LeaseLost);
            }
            self.data_id = data_id;
            return Ok(());
        }
        let Some(lease) = leases.claim(connection, self.shared.context.node).await? else {
            // Most likely an earlier claim of this node succeeded, and its reply was lost.
            for expired in leases.renew(connection, "").await?.expired {
                self.shared.sweep(connection, &expired).await?;
            }
            return Err(WriteError::Redis(io::Error::other("the id of this node is taken").into()));
        };
        (self.lease, self.data_id) = (Some(lease), data_id);
        self.queue_everything();
        Ok(())
    }

    /// Removes all entries of the lost lease before another one is claimed.
    async fn end_lease(&mut self, connection: &mut RedisConnection) -> RedisResult<()> {
        if let Some(lease) = &self.lease {
            let StoreShared { leases, context, .. } = &*self.shared;
            leases.sweep(connection, &lease.id, None).await?;
            leases.sweep_again(connection, lease, context.node).await?;
        }
        self.lease = None;
        Ok(())
    }

    /// Queues the node's whole presence: all memberships and seats.
    fn queue_everything(&mut self) {
        let StoreShared { seats, changes, .. } = &*self.shared;
        // Cleared first, so that a socket that enters concurrently is in the index or in the new queue.
        seats.clear_entered_with_seat();
        changes.clear();
        self.unconfirmed.clear();
        if let Some(local) = self.shared.local() {
            local.for_each_member(&mut |project, target, socket| {
                changes.push_unbounded(project, Change::Enter(target.clone(), socket));
            });
        }
        if let Some((sessions, _)) = self.shared.sessions.get()
            && let Some(sessions) = sessions.upgrade()
        {
            sessions.for_each_session(&mut |project, socket| {
                changes.push_unbounded(project, Change::Record(socket));
            });
        }
        seats.for_each(|socket, seat| {
            let Seat { project, shard, capacity, number, .. } = seat;
            changes.push_unbounded(project, Change::Restore(shard.clone(), socket, *capacity, *number));
            if seat.description.is_some() {
                changes.push_unbounded(project, Change::Describe(shard.clone(), socket));
                seat.is_description_queued = true;
            }
        });
    }

    /// Writes changes and renews the lease until an error.
    async fn write_all(&mut self, connection: &mut RedisConnection) -> Result<Infallible, WriteError> {
        loop {
            let has_more = self.write_some(connection).await?;
            tokio::select! {
                biased;
                // Polled first, so that the lease is renewed even if there are always more changes.
                _ = self.renewal.tick() => self.renew(connection).await?,
                () = self.shared.lease_expired.notified() => self.renew(connection).await?,
                () = ready(()), if has_more => {}
                () = self.shared.changes.filled(), if !has_more => {}
            }
        }
    }

    async fn renew(&mut self, connection: &mut RedisConnection) -> Result<(), WriteError> {
        let Some(lease) = &self.lease else { return Err(WriteError::LeaseLost) };
        let renewal = self.shared.leases.renew(connection, &lease.id).await?;
        if !renewal.is_ours {
            return Err(WriteError::LeaseLost);
        }
        self.meters.nodes.set(renewal.nodes as f64);
        if let Some(mirror) = &self.shared.mirror {
            mirror.renew(connection, &self.shared.context.names, self.shared.local()).await?;
        }
        if !renewal.expired.is_empty() && !self.shared.state.borrow().is_sweeping {
            self.sweep(connection.clone(), renewal.expired);
        }
        if self.shared.sessions.get().is_some() && !self.shared.state.borrow().is_ending_kept {
            self.end_kept(connection.clone());
        }
        Ok(())
    }

    /// Ends sessions of dead nodes whose time is over, in a separate task.
    fn end_kept(&self, mut connection: RedisConnection) {
        let shared = self.shared.clone();
        shared.state.send_modify(|state| state.is_ending_kept = true);
        self.shared.context.spawn(async move {
            if let Err(error) = shared.end_kept(&mut connection).await {
                tracing::debug!(
                    error = printable_error(&error),
                    "sessions of dead nodes are ended at the next renewal"
                );
            }
            shared.state.send_modify(|state| state.is_ending_kept = false);
        });
    }

    /// Removes the entries of expired leases in a separate task, while this task continues to write.
    fn sweep(&self, mut connection: RedisConnection, expired: Vec<String>) {
        let (shared, swept) = (self.shared.clone(), self.meters.swept.clone());
        shared.state.send_modify(|state| state.is_sweeping = true);
        self.shared.context.spawn(async move {
            for lease in expired {
                match shared.sweep(&mut connection, &lease).await {
                    Ok(false) => {}
                    Ok(true) => {
                        swept.increment(1);
                        tracing::info!(
                            lease = printable(&lease),
                            "node lease expired; its presence is removed"
                        );
                    }
                    Err(error) => {
                        tracing::warn!(
                            lease = printable(&lease),
                            error = printable_error(&error),
                            "node lease expired; its presence is removed at the next renewal"
                        );
                    }
                }
            }
            shared.state.send_modify(|state| state.is_sweeping = false);
        });
    }

    /// Writes a batch of changes. Returns whether there are more.
    async fn write_some(&mut self, connection: &mut RedisConnection) -> Result<bool, WriteError> {
        if self.unconfirmed.is_empty() {
            self.unconfirmed = self.shared.changes.take(BATCH_MAX).ok_or(WriteError::LeaseLost)?;
            // Before the descriptions are read, so that none is missed.
            self.unconfirmed.described().for_each(|socket| self.shared.seats.begin_description(socket));
        }
        if !self.unconfirmed.is_empty() {
            self.write_unconfirmed(connection).await?;
        }
        let count = self.unconfirmed.count;
        self.shared.state.send_if_modified(|state| std::mem::replace(&mut state.written, count) < count);
        Ok(self.shared.changes.count() > count)
    }

    /// Writes the unconfirmed changes. After a failure they are written again, so every change is idempotent.
    async fn write_unconfirmed(&mut self, connection: &mut RedisConnection) -> Result<(), WriteError> {
        let StoreWriter { shared, lease, unconfirmed, meters, .. } = self;
        let lease = lease.as_mut().ok_or(WriteError::LeaseLost)?;
        let projects = unconfirmed.new_projects(&lease.projects);
        if !shared.leases.register(connection, lease, projects, shared.mirror.as_deref()).await? {
            return Err(WriteError::LeaseLost);
        }
        let mut calls = Calls::new(shared, &lease.id);
        let replies =
            script::run_batch(connection, &shared.leases.scripts, || calls.batch(unconfirmed)).await?;
        let emptied = calls.settle(unconfirmed, replies)?;
        meters.written.increment(unconfirmed.len() as u64);
        unconfirmed.clear();
        Ok(shared.leases.unregister(connection, lease, &emptied).await?)
    }
}

impl Session for StoreWriter {
    const CONNECTION: &'static str = "store";
    const LOST: &'static str =
        "store disconnected from Redis; presence is that of this node until it reconnects";

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        loop {
            let error = match self.begin(&mut connection).await {
                Ok(()) => {
                    up.set();
                    self.set_up(&connection);
                    let Err(error) = self.write_all(&mut connection).await;
                    error
                }
                Err(error) => error,
            };
            match error {
                WriteError::Redis(error) => return Err(error),
                WriteError::LeaseLost => self.meters.rewrites.increment(1),
            }
            self.end_lease(&mut connection).await?;
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.state.send_modify(|state| state.connection = None);
        ControlFlow::Continue(())
    }
}
