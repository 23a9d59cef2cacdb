//! What nodes share, in Redis: which sockets are in what, who sits on which shard.
//!
//! Every entry belongs to a lease, since a socket's id begins with its node's. A node that says
//! nothing for the length of its lease is dead, and any other node takes out what it left.

mod calls;
mod changes;
mod lease;
mod scripts;
mod seats;
mod writer;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, RedisError, cmd};
use switchboard_backplane::{
    BoxFuture, LocalMembers, Page, SeatRequest, Seated, Shard, Store, StoreError, StoreFuture,
};
use switchboard_event::{NodeId, ProjectId, ShardName, SocketId, Target, UserId};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connected, Link, Source};
use crate::legacy::{self, Bridges, EmitBridge};
use crate::names::{Names, name};
use crate::options::{ANSWER_WITHIN, Options};

use changes::{Change, Changes};
pub(crate) use lease::{Lease, Leases};
use seats::Held;

/// Keeps what nodes share in Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisStore {
    node: NodeId,
    names: Names,
    options: Options,
    source: Arc<Source>,
    publish_verb: &'static str,
    bridges: Arc<Bridges>,
    local: OnceLock<Weak<dyn LocalMembers>>,
    changes: Changes,
    held: Held,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

/// How far the store is.
#[derive(Clone, Default)]
struct State {
    /// The connection, while it can be asked.
    link: Option<Link>,
    /// The lease under which this node writes.
    lease: String,
    /// How many changes are written.
    written: u64,
    /// Whether what a dead node left may still be there.
    sweeping: bool,
}

/// Most names in one answer of Redis.
const PAGE_MAX: usize = 10_000;

/// Why Redis could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("there is no connection to Redis")]
    Away,
    #[error("Redis took longer than {ANSWER_WITHIN:?}")]
    Late,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl From<NoAnswer> for StoreError {
    fn from(error: NoAnswer) -> Self {
        StoreError(Box::new(error))
    }
}

impl RedisStore {
    pub(crate) fn start(
        node: NodeId,
        names: Names,
        options: &Options,
        bridges: Arc<Bridges>,
        source: Arc<Source>,
        first: Option<(Connected, Lease)>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let store = Arc::new(RedisStore {
            node,
            names,
            publish_verb: source.publish_verb(),
            options: options.clone(),
            bridges,
            source,
            local: OnceLock::new(),
            changes: Changes::new(options.changes_max),
            held: Held::default(),
            // A first connection works: it has just been used.
            state: watch::Sender::new(State {
                link: first.as_ref().map(|(connected, _)| connected.link.clone()),
                ..State::default()
            }),
            stop: stop.clone(),
        });
        crate::spawn(stop, writer::keep(store.clone(), first));
        store
    }

    /// When everything that this node did before is written, or nothing can be.
    async fn written(&self) {
        let asked = self.changes.count();
        let mut state = self.state.subscribe();
        // Fails only when the store is gone, and with it everything that could be waited for.
        let _ = state.wait_for(|state| state.link.is_none() || state.written >= asked).await;
    }

    /// The connection, once everything that this node did before is written and, unless that takes
    /// long, what dead nodes left is gone.
    pub(crate) async fn link(&self) -> Result<Link, NoAnswer> {
        let asked = self.changes.count();
        let mut state = self.state.subscribe();
        let written = state.wait_for(|state| state.link.is_none() || state.written >= asked);
        let written = timeout(ANSWER_WITHIN, written).await.map_err(|_| NoAnswer::Late)?;
        drop(written.map_err(|_| NoAnswer::Away)?);
        let swept = timeout(ANSWER_WITHIN, state.wait_for(|state| state.link.is_none() || !state.sweeping));
        // A very large node is still being swept: an answer that counts some of it is better than none.
        drop(swept.await);
        self.link_now()
    }

    /// The connection, for what has nothing to do with who is where.
    pub(crate) fn link_now(&self) -> Result<Link, NoAnswer> {
        self.state.borrow().link.clone().ok_or(NoAnswer::Away)
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, NoAnswer> {
        Ok(self.link().await?.ask(&command).await?)
    }

    /// The members of a sorted set of equal scores, in order, a part at a time.
    async fn page<T: Clone>(
        &self,
        key: &str,
        page: Page<T>,
        bytes: impl Fn(&T) -> &[u8],
        read: impl Fn(Vec<u8>) -> Option<T>,
    ) -> Result<Vec<T>, NoAnswer> {
        let mut link = self.link().await?;
        let mut list: Vec<T> = Vec::new();
        let mut after = page.after.as_ref().map(|after| [b"(", bytes(after)].concat());
        while list.len() < page.limit {
            let most = PAGE_MAX.min(page.limit - list.len());
            let from = after.as_deref().unwrap_or(b"-");
            let mut command = cmd("ZRANGE");
            command.arg(key).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(most);
            let part: Vec<Vec<u8>> = link.ask(&command).await?;
            let Some(last) = part.last() else { break };
            let is_last = part.len() < most;
            after = Some([b"(", &**last].concat());
            list.extend(part.into_iter().filter_map(&read));
            if is_last {
                break;
            }
        }
        Ok(list)
    }

    /// The bridge to emit.gg nodes, if it is this project's.
    fn bridge(&self, project: &ProjectId) -> Option<&EmitBridge> {
        self.bridges.emit().map(|bridged| &bridged.bridge).filter(|bridge| bridge.project == *project)
    }

    /// The sockets of original nodes in a target; none without a bridge.
    async fn originals(&self, project: &ProjectId, target: &Target) -> Result<BTreeSet<SocketId>, NoAnswer> {
        let Some(bridge) = self.bridge(project) else { return Ok(BTreeSet::new()) };
        Ok(legacy::sockets(&mut self.link().await?, bridge, &self.names.project(project), target).await?)
    }

    /// The users that only original nodes know; none without a bridge.
    async fn original_users(&self, project: &ProjectId) -> Result<BTreeSet<UserId>, NoAnswer> {
        let Some(bridge) = self.bridge(project) else { return Ok(BTreeSet::new()) };
        Ok(legacy::users(&mut self.link().await?, bridge, &self.names.project(project)).await?)
    }

    /// Gives the lease back; see [`Redis::leave`](crate::Redis::leave).
    pub(crate) async fn leave(&self) {
        let leases = Leases::new(self.names.clone(), self.options.lease, self.publish_verb);
        let left = timeout(ANSWER_WITHIN, async {
            let mut link = self.link().await?;
            let lease = self.state.borrow().lease.clone();
            // Or it would take another one.
            self.stop.cancel();
            Ok::<_, NoAnswer>(leases.sweep(&mut link, &lease).await?)
        });
        match left.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back; others end it"),
            Err(_) => tracing::warn!("the lease was not given back in time; others end it"),
        }
    }

    fn change(&self, project: &ProjectId, change: Change) {
        self.changes.push(project, change);
    }

    async fn seat(&self, project: &ProjectId, wish: SeatRequest) -> Result<Seated, NoAnswer> {
        if self.state.borrow().link.is_none() {
            return Err(NoAnswer::Away);
        }
        let (answer, seated) = oneshot::channel();
        self.change(project, Change::TakeSeat(wish, Some(answer)));
        let seated = timeout(2 * ANSWER_WITHIN, seated).await;
        seated.map_err(|_| NoAnswer::Late)?.map_err(|_| NoAnswer::Away)
    }
}

fn socket_id(bytes: Vec<u8>) -> Option<SocketId> {
    Some(SocketId::from_bytes(bytes.try_into().ok()?))
}

/// A page of two lists; the first is one already.
fn merge<T: Ord + Clone>(mut list: Vec<T>, more: BTreeSet<T>, page: Page<T>) -> Vec<T> {
    if !more.is_empty() {
        list.extend(more);
        list = page.of(list);
    }
    list
}

impl Store for RedisStore {
    fn start(&self, members: Weak<dyn LocalMembers>) {
        let _ = self.local.set(members);
    }

    fn entered(&self, project: &ProjectId, target: &Target, socket: SocketId) {
        if !self.held.caught_up(socket, target) {
            self.change(project, Change::Enter(target.clone(), socket));
        }
    }

    fn left(&self, project: &ProjectId, target: &Target, socket: SocketId) {
        self.change(project, Change::Leave(target.clone(), socket));
    }

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> StoreFuture<'a, usize> {
        let names = self.names.project(project);
        Box::pin(async move {
            let originals = self.originals(project, target).await?.len();
            if let Target::Socket(id) = target {
                let mut command = cmd("ZSCORE");
                command.arg(names.members(&Target::Everyone)).arg(id.as_bytes());
                let score: Option<f64> = self.ask(command).await?;
                return Ok(score.map_or(originals, |_| 1));
            }
            let mut command = cmd("ZCARD");
            command.arg(names.members(target));
            let ours: usize = self.ask(command).await?;
            Ok(ours + originals)
        })
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> StoreFuture<'a, Vec<SocketId>> {
        Box::pin(async move {
            if let Target::Socket(id) = target {
                let is_there = self.count(project, target).await? > 0;
                let wanted = is_there && page.limit > 0 && page.after.is_none_or(|after| after < *id);
                return Ok(wanted.then_some(*id).into_iter().collect());
            }
            let originals = self.originals(project, target).await?;
            let key = self.names.project(project).members(target);
            let ours = self.page(&key, page.clone(), |id| id.as_bytes(), socket_id).await?;
            Ok(merge(ours, originals, page))
        })
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, usize> {
        let mut command = cmd("ZCARD");
        command.arg(self.names.project(project).users());
        Box::pin(async move {
            let originals = self.original_users(project).await?.len();
            let ours: usize = self.ask(command).await?;
            Ok(ours + originals)
        })
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> StoreFuture<'a, Vec<UserId>> {
        let key = self.names.project(project).users();
        Box::pin(async move {
            let originals = self.original_users(project).await?;
            let ours = self.page(&key, page.clone(), |user| user.as_bytes(), name).await?;
            Ok(merge(ours, originals, page))
        })
    }

    fn take_seat<'a>(&'a self, project: &'a ProjectId, wish: SeatRequest) -> StoreFuture<'a, Seated> {
        Box::pin(async move { Ok(self.seat(project, wish).await?) })
    }

    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId) {
        // Before the seat, so that who hears of that finds it nowhere.
        for target in self.held.forget(socket).into_iter().flat_map(|seat| seat.ahead) {
            self.change(project, Change::Leave(target, socket));
        }
        self.change(project, Change::LeaveSeat(shard.clone(), socket));
    }

    fn shards<'a>(&'a self, project: &'a ProjectId) -> StoreFuture<'a, Vec<Shard>> {
        let [_, taken, ..] = self.names.project(project).seats();
        let mut command = cmd("HGETALL");
        command.arg(taken);
        Box::pin(async move {
            let taken: Vec<(Vec<u8>, usize)> = self.ask(command).await?;
            let shard = |(bytes, seated)| Some(Shard { name: name(bytes)?, seated });
            Ok(taken.into_iter().filter_map(shard).collect())
        })
    }

    fn describe(&self, project: &ProjectId, shard: &ShardName, socket: SocketId, description: Bytes) {
        if self.held.describe(socket, &description) {
            self.change(project, Change::Describe(shard.clone(), socket, description));
        }
    }

    fn descriptions<'a>(
        &'a self,
        project: &'a ProjectId,
        shard: &'a ShardName,
    ) -> StoreFuture<'a, Vec<(SocketId, Bytes)>> {
        let mut command = cmd("HGETALL");
        command.arg(self.names.project(project).shard(shard));
        Box::pin(async move {
            let all: Vec<(Vec<u8>, Vec<u8>)> = self.ask(command).await?;
            let of_others = |(id, bytes): (Vec<u8>, Vec<u8>)| {
                let id = socket_id(id).filter(|id| id.node() != self.node)?;
                Some((id, bytes.into()))
            };
            Ok(all.into_iter().filter_map(of_others).collect())
        })
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.written())
    }

    fn is_up(&self) -> bool {
        self.state.borrow().link.is_some()
    }
}
