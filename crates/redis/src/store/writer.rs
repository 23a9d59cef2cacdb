//! The one task that writes: it holds the lease, puts changes into Redis in their order, and begins
//! anew when either is lost.

use std::future::ready;
use std::io;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use redis::{RedisError, RedisResult};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::RedisStore;
use super::calls::Writing;
use super::changes::{Change, Taken};
use super::lease::{Lease, Leases};
use super::seats::Seat;
use crate::connection::backoff::Backoff;
use crate::connection::script::is_unknown;
use crate::connection::{Connected, Link, ignore};
use crate::legacy::Upkeep;

/// Most changes in one pipeline.
const BATCH_MAX: usize = 1024;

/// Why nothing can be written as things are.
pub(super) enum Stop {
    /// The connection does not work.
    Redis(RedisError),
    /// The lease has ended, changes were dropped, or another Redis answers, which may lack what the one
    /// before had taken: everything has to be written anew.
    LeaseLost,
}

impl From<RedisError> for Stop {
    fn from(error: RedisError) -> Self {
        Stop::Redis(error)
    }
}

struct Meters {
    written: Counter,
    leases_lost: Counter,
    swept: Counter,
    up: Gauge,
    nodes: Gauge,
}

struct Keeper {
    store: Arc<RedisStore>,
    leases: Arc<Leases>,
    lease: Option<Lease>,
    /// Which Redis the lease was begun in; empty while nobody has asked.
    redis: String,
    /// Changes that were sent, perhaps, and not answered.
    unsure: Taken,
    meters: Meters,
    renewal: Interval,
    upkeep: Option<Upkeep>,
}

/// Keeps Redis true as long as somebody polls.
pub(super) async fn keep(store: Arc<RedisStore>, first: Option<(Connected, Lease)>) {
    let names = store.names.clone();
    let leases = Arc::new(Leases::new(names, store.options.lease, store.publish_verb));
    let mut renewal = interval(store.options.renew_every());
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (connected, lease) = first.unzip();
    let meters = Meters {
        written: counter!("switchboard_store_changes_total"),
        leases_lost: counter!("switchboard_leases_lost_total"),
        swept: counter!("switchboard_leases_swept_total"),
        up: gauge!("switchboard_redis_up", "part" => "store"),
        nodes: gauge!("switchboard_nodes"),
    };
    let upkeep = store.bridges.emit().cloned().map(Upkeep::new);
    Keeper { store, leases, lease, redis: String::new(), unsure: Taken::default(), meters, renewal, upkeep }
        .run(connected)
        .await
}

impl Keeper {
    async fn run(mut self, mut first: Option<Connected>) {
        let mut backoff = Backoff::default();
        loop {
            let connected = match first.take() {
                Some(connected) => Ok(connected),
                None => self.store.source.connect(ignore()).await,
            };
            let error = match connected {
                Ok(connected) => tokio::select! {
                    error = self.work(connected.link.clone(), &mut backoff) => error,
                    error = connected.cut() => error,
                },
                Err(error) => error,
            };
            if self.store.state.borrow().link.is_some() {
                tracing::warn!(%error, "Redis is away; this node works alone");
            } else {
                tracing::debug!(%error, "no connection to Redis");
            }
            self.meters.up.set(0.0);
            self.store.state.send_modify(|state| state.link = None);
            backoff.pause().await;
        }
    }

    /// Works through one connection until it fails.
    async fn work(&mut self, mut link: Link, backoff: &mut Backoff) -> RedisError {
        loop {
            let stop = match self.begin(&mut link).await {
                Ok(()) => {
                    *backoff = Backoff::default();
                    self.meters.up.set(1.0);
                    let lease = self.lease.as_ref().map(|lease| lease.id.clone()).unwrap_or_default();
                    self.store
                        .state
                        .send_modify(|state| (state.link, state.lease) = (Some(link.clone()), lease));
                    self.store.source.came_back();
                    self.go_on(&mut link).await
                }
                Err(stop) => stop,
            };
            match stop {
                Stop::Redis(error) => return error,
                Stop::LeaseLost => self.meters.leases_lost.increment(1),
            }
            if let Err(error) = self.end_lease(&mut link).await {
                return error;
            }
        }
    }

    /// Takes up the lease that there is, or begins one and writes everything under it.
    async fn begin(&mut self, link: &mut Link) -> Result<(), Stop> {
        self.leases.load(link).await?;
        let redis = link.identity().await?;
        if let Some(lease) = &self.lease {
            let is_same = self.redis.is_empty() || self.redis == redis;
            if !is_same || !self.leases.renew(link, &lease.id).await?.is_ours {
                return Err(Stop::LeaseLost);
            }
            self.redis = redis;
            return Ok(());
        }
        let Some(lease) = self.leases.claim(link, self.store.node).await? else {
            // Most likely by this node itself, whose claim was cut off from its answer.
            for dead in self.leases.renew(link, "").await?.dead {
                self.leases.sweep(link, &dead).await?;
            }
            return Err(Stop::Redis(io::Error::other("the id of this node is taken").into()));
        };
        (self.lease, self.redis) = (Some(lease), redis);
        self.write_anew();
        Ok(())
    }

    /// Takes out what stands under the lease, so that the next one begins with nothing.
    async fn end_lease(&mut self, link: &mut Link) -> RedisResult<()> {
        if let Some(lease) = &self.lease {
            self.leases.sweep(link, &lease.id).await?;
            self.leases.sweep_again(link, lease, self.store.node).await?;
        }
        self.lease = None;
        Ok(())
    }

    /// Queues everything that the node knows: who is in what, and who sits where.
    fn write_anew(&mut self) {
        let store = &self.store;
        // First, so that who comes meanwhile is in the index or among the changes.
        store.held.fall_back();
        store.changes.clear();
        self.unsure.clear();
        if let Some(local) = store.local.get().and_then(|local| local.upgrade()) {
            local.for_each_member(&mut |project, target, socket| {
                store.changes.push_again(project, Change::Enter(target.clone(), socket));
            });
        }
        store.held.for_each(|socket, seat| {
            let Seat { project, shard, capacity, number, description, .. } = seat;
            store.changes.push_again(project, Change::Restore(shard.clone(), socket, *capacity, *number));
            if let Some(description) = description {
                let change = Change::Describe(shard.clone(), socket, description.clone());
                store.changes.push_again(project, change);
            }
        });
    }

    async fn go_on(&mut self, link: &mut Link) -> Stop {
        loop {
            let more = match self.write_some(link).await {
                Ok(more) => more,
                Err(stop) => return stop,
            };
            tokio::select! {
                biased;
                // First, so that no flood of changes costs the lease.
                _ = self.renewal.tick() => if let Err(stop) = self.renew(link).await {
                    return stop;
                },
                () = ready(()), if more => {}
                () = self.store.changes.filled(), if !more => {}
            }
        }
    }

    async fn renew(&mut self, link: &mut Link) -> Result<(), Stop> {
        let Some(lease) = &self.lease else { return Err(Stop::LeaseLost) };
        let renewed = self.leases.renew(link, &lease.id).await?;
        if !renewed.is_ours {
            return Err(Stop::LeaseLost);
        }
        self.meters.nodes.set(renewed.nodes as f64);
        if let Some(upkeep) = &mut self.upkeep {
            let local = self.store.local.get().and_then(|local| local.upgrade());
            upkeep.tend(link, &self.store.names, local.as_deref()).await?;
        }
        if !renewed.dead.is_empty() && !self.store.state.borrow().sweeping {
            self.sweep(link.clone(), renewed.dead);
        }
        Ok(())
    }

    /// Sweeps beside the writing, which goes on.
    fn sweep(&self, mut link: Link, dead: Vec<String>) {
        let (store, leases, swept) = (self.store.clone(), self.leases.clone(), self.meters.swept.clone());
        store.state.send_modify(|state| state.sweeping = true);
        let sweeping = async move {
            for lease in dead {
                match leases.sweep(&mut link, &lease).await {
                    Ok(()) => {
                        swept.increment(1);
                        tracing::info!(lease, "a node has died; what it left is taken out");
                    }
                    // The next renewal finds it again.
                    Err(error) => tracing::warn!(lease, %error, "what a dead node left is still there"),
                }
            }
            store.state.send_modify(|state| state.sweeping = false);
        };
        crate::spawn(&self.store.stop, sweeping);
    }

    /// Writes a part of what waits. Returns whether there is more.
    async fn write_some(&mut self, link: &mut Link) -> Result<bool, Stop> {
        if self.unsure.is_empty() {
            self.unsure = self.store.changes.take(BATCH_MAX).ok_or(Stop::LeaseLost)?;
        }
        if !self.unsure.is_empty() {
            self.write_unsure(link).await?;
        }
        let count = self.unsure.count;
        self.store.state.send_if_modified(|state| std::mem::replace(&mut state.written, count) < count);
        Ok(self.store.changes.count() > count)
    }

    /// Writes what was taken. Whatever fails is written again: every change may happen twice.
    async fn write_unsure(&mut self, link: &mut Link) -> Result<(), Stop> {
        let Keeper { store, leases, lease, unsure, meters, .. } = self;
        let lease = lease.as_mut().ok_or(Stop::LeaseLost)?;
        let projects = unsure.projects_beside(&lease.projects);
        if !leases.register(link, lease, projects, &store.bridges).await? {
            return Err(Stop::LeaseLost);
        }
        let mut writing = Writing::new(store, leases, &lease.id);
        let batch = writing.batch(unsure);
        let mut answers = link.run(batch).await?;
        if answers.iter().any(is_unknown) {
            leases.load(link).await?;
            answers = link.run(writing.batch(unsure)).await?;
        }
        let emptied = writing.settle(unsure, answers)?;
        meters.written.increment(unsure.len() as u64);
        unsure.clear();
        Ok(leases.unregister(link, lease, &emptied).await?)
    }
}
