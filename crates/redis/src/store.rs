//! Presence and seats in Redis: which sockets are in which target, and on which shard.
//!
//! Every entry belongs to a lease, because a socket's id begins with its node's. A node that does not renew
//! its lease counts as dead, and another node removes its entries.

mod calls;
mod changes;
mod elsewhere;
mod kept;
mod lease;
mod mirror;
mod node_watch;
mod occupancy;
mod scripts;
mod seats;
mod shared;
mod unreachable;
mod writer;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, cmd};
use switchboard_backplane::{
    BackplaneFuture, BoxFuture, KeepSessions, LocalMembers, LocalSessions, NodeLease, Page, SeatRequest,
    Seated, Shard, Store, StoredSession, TakenEntries,
};
use switchboard_event::{ProjectId, RoomName, ShardName, SocketId, Target, UserId};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::connection::{Connected, RedisConnection};
use crate::context::Context;
use crate::error::RequestError;
use crate::names::name;
use crate::options::REPLY_TIMEOUT;
use crate::reports::SweptClients;

use changes::{Change, ChangeQueue};
pub(crate) use lease::{Lease, Leases};
pub(crate) use mirror::PresenceMirror;
pub use occupancy::RedisOccupancy;
use seats::LocalSeats;
use shared::{StoreShared, StoreState};
use switchboard_log::printable_error;
use unreachable::UnreachableNodes;
use writer::StoreWriter;

/// Keeps presence and seats in Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisStore {
    shared: Arc<StoreShared>,
}

/// Maximum number of names in one reply of Redis.
const PAGE_MAX: usize = 10_000;

/// How long a sweep waits after the start for the reporter of webhooks.
const REPORTER_TIMEOUT: Duration = Duration::from_secs(10);

impl RedisStore {
    /// `first` is a connection with a lease that was claimed over it.
    pub(crate) fn start(
        context: &Arc<Context>,
        leases: Arc<Leases>,
        mirror: Option<Arc<dyn PresenceMirror>>,
        first: Option<(Connected, Lease)>,
    ) -> Arc<Self> {
        let (connected, lease) = first.unzip();
        let shared = Arc::new(StoreShared {
            leases,
            mirror,
            local: OnceLock::new(),
            changes: ChangeQueue::new(context.options.changes_bytes_max),
            seats: LocalSeats::default(),
            swept_clients: OnceLock::new(),
            reporter_expected_until: Instant::now() + REPORTER_TIMEOUT,
            // The first connection works: the lease was claimed over it.
            state: watch::Sender::new(StoreState {
                connection: connected.as_ref().map(|connected| connected.connection.clone()),
                ..StoreState::default()
            }),
            sessions: OnceLock::new(),
            lease_expired: Notify::new(),
            unreachable: UnreachableNodes::default(),
            context: context.clone(),
        });
        context.supervise(StoreWriter::new(shared.clone(), lease), connected);
        Arc::new(RedisStore { shared })
    }

    /// Sets the reporter of the clients of crashed nodes. Later calls do nothing.
    pub(crate) fn report_swept_clients(&self, reports: SweptClients) {
        let _ = self.shared.swept_clients.set(reports);
    }

    /// Completes once all earlier changes of this node are written, or cannot be.
    async fn wait_until_written(&self) {
        let count = self.shared.changes.count();
        let mut state = self.shared.state.subscribe();
        // Fails only after the store was dropped.
        let _ = state.wait_for(|state| state.connection.is_none() || state.written >= count).await;
    }

    /// The connection, once all earlier changes of this node are written and, unless that takes long, the
    /// entries of dead nodes are removed.
    pub(crate) async fn settled_connection(&self) -> Result<RedisConnection, RequestError> {
        let count = self.shared.changes.count();
        let mut state = self.shared.state.subscribe();
        let written = state.wait_for(|state| state.connection.is_none() || state.written >= count);
        let written = timeout(REPLY_TIMEOUT, written).await.map_err(|_| RequestError::Timeout)?;
        drop(written.map_err(|_| RequestError::Disconnected)?);
        let swept = state.wait_for(|state| state.connection.is_none() || !state.is_sweeping);
        // The sweep of a very large node may take longer. A result that includes some of its entries is
        // better than none.
        drop(timeout(REPLY_TIMEOUT, swept).await);
        self.connection()
    }

    /// The connection, for requests that do not depend on presence.
    pub(crate) fn connection(&self) -> Result<RedisConnection, RequestError> {
        self.shared.state.borrow().connection.clone().ok_or(RequestError::Disconnected)
    }

    async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RequestError> {
        Ok(self.settled_connection().await?.query(&command).await?)
    }

    /// A page of a sorted set with equal scores, in the order of its members. Only members that begin with `prefix`.
    async fn page<T: Clone>(
        &self,
        key: &str,
        prefix: &[u8],
        page: Page<T>,
        bytes: impl Fn(&T) -> &[u8],
        read: impl Fn(Vec<u8>) -> Option<T>,
    ) -> Result<Vec<T>, RequestError> {
        let mut connection = self.settled_connection().await?;
        let mut list: Vec<T> = Vec::new();
        let after = page.after.as_ref().map(bytes).filter(|after| *after >= prefix);
        let mut after = after.map(|after| [b"(", after].concat());
        // No name in UTF-8 has this byte, so that all names with the prefix are before it.
        let (begin, end) = match prefix {
            [] => (b"-".to_vec(), b"+".to_vec()),
            prefix => ([b"[", prefix].concat(), [b"(", prefix, &[0xff]].concat()),
        };
        while list.len() < page.limit {
            let max = PAGE_MAX.min(page.limit - list.len());
            let from = after.as_deref().unwrap_or(&begin);
            let mut command = cmd("ZRANGE");
            command.arg(key).arg(from).arg(&end).arg("BYLEX").arg("LIMIT").arg(0).arg(max);
            let members: Vec<Vec<u8>> = connection.query(&command).await?;
            let Some(last) = members.last() else { break };
            let is_last = members.len() < max;
            after = Some([b"(", &**last].concat());
            list.extend(members.into_iter().filter_map(&read));
            if is_last {
                break;
            }
        }
        Ok(list)
    }

    /// Writes the queued changes and releases the lease; see [`Redis::leave`](crate::Redis::leave).
    pub(crate) async fn leave(&self) {
        let left = timeout(REPLY_TIMEOUT, async {
            let mut connection = self.settled_connection().await?;
            let lease = self.shared.state.borrow().lease.clone();
            // Stops the writer, which would claim another lease.
            self.shared.context.stop.cancel();
            Ok::<_, RequestError>(self.shared.leases.sweep(&mut connection, &lease, None).await?)
        });
        match left.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = printable_error(&error),
                    "lease not released; other nodes remove it when it expires"
                );
            }
            Err(_) => tracing::warn!("lease not released in time; other nodes remove it when it expires"),
        }
    }

    fn push(&self, project: &ProjectId, change: Change) {
        self.shared.changes.push(project, change);
    }

    async fn request_seat(&self, project: &ProjectId, request: SeatRequest) -> Result<Seated, RequestError> {
        if !self.shared.is_up() {
            return Err(RequestError::Disconnected);
        }
        let (requester, seated) = oneshot::channel();
        self.push(project, Change::TakeSeat(request, Some(requester)));
        let seated = timeout(2 * REPLY_TIMEOUT, seated).await;
        seated.map_err(|_| RequestError::Timeout)?.map_err(|_| RequestError::Disconnected)
    }
}

fn socket_id(bytes: Vec<u8>) -> Option<SocketId> {
    Some(SocketId::from_bytes(bytes.try_into().ok()?))
}

/// Merges a page with further items, and returns the page of the result.
fn merge<T: Ord + Clone>(mut list: Vec<T>, more: BTreeSet<T>, page: Page<T>) -> Vec<T> {
    if !more.is_empty() {
        list.extend(more);
        list = page.of(list);
    }
    list
}

impl Store for RedisStore {
    fn start(&self, members: Weak<dyn LocalMembers>) {
        let _ = self.shared.local.set(members);
    }

    fn entered(&self, project: &ProjectId, target: &Target, socket: SocketId) {
        if !self.shared.seats.take_entered(socket, target) {
            self.push(project, Change::Enter(target.clone(), socket));
        }
    }

    fn left(&self, project: &ProjectId, target: &Target, socket: SocketId) {
        self.push(project, Change::Leave(target.clone(), socket));
    }

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> BackplaneFuture<'a, usize> {
        let names = self.shared.context.names.project(project);
        Box::pin(async move {
            let elsewhere = self.sockets_elsewhere(project, target).await?.len();
            if let Target::Socket(id) = target {
                let mut command = cmd("ZSCORE");
                command.arg(names.members(&Target::Everyone)).arg(id.as_bytes());
                let score: Option<f64> = self.query(command).await?;
                return Ok(score.map_or(elsewhere, |_| 1));
            }
            let mut command = cmd("ZCARD");
            command.arg(names.members(target));
            let ours: usize = self.query(command).await?;
            Ok(ours + elsewhere)
        })
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> BackplaneFuture<'a, Vec<SocketId>> {
        Box::pin(async move {
            if let Target::Socket(id) = target {
                let exists = self.count(project, target).await? > 0;
                let in_page = exists && page.limit > 0 && page.after.is_none_or(|after| after < *id);
                return Ok(in_page.then_some(*id).into_iter().collect());
            }
            let elsewhere = self.sockets_elsewhere(project, target).await?;
            let key = self.shared.context.names.project(project).members(target);
            let ours = self.page(&key, b"", page.clone(), |id| id.as_bytes(), socket_id).await?;
            Ok(merge(ours, elsewhere, page))
        })
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, usize> {
        let mut command = cmd("ZCARD");
        command.arg(self.shared.context.names.project(project).users());
        Box::pin(async move {
            let elsewhere = self.users_elsewhere(project).await?.len();
            let ours: usize = self.query(command).await?;
            Ok(ours + elsewhere)
        })
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> BackplaneFuture<'a, Vec<UserId>> {
        let key = self.shared.context.names.project(project).users();
        Box::pin(async move {
            let elsewhere = self.users_elsewhere(project).await?;
            let ours = self.page(&key, b"", page.clone(), |user| user.as_bytes(), name).await?;
            Ok(merge(ours, elsewhere, page))
        })
    }

    fn rooms<'a>(
        &'a self,
        project: &'a ProjectId,
        prefix: &'a str,
        page: Page<RoomName>,
    ) -> BackplaneFuture<'a, Vec<RoomName>> {
        let key = self.shared.context.names.project(project).rooms();
        Box::pin(
            async move { Ok(self.page(&key, prefix.as_bytes(), page, |room| room.as_bytes(), name).await?) },
        )
    }

    fn nodes(&self) -> BackplaneFuture<'_, Vec<NodeLease>> {
        Box::pin(async {
            Ok(self.shared.leases.list(&mut self.connection()?).await.map_err(RequestError::from)?)
        })
    }

    fn take_seat<'a>(&'a self, project: &'a ProjectId, request: SeatRequest) -> BackplaneFuture<'a, Seated> {
        Box::pin(async move { Ok(self.request_seat(project, request).await?) })
    }

    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, socket: SocketId) {
        self.shared.leave_seat(project, shard, socket);
    }

    fn shards<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, Vec<Shard>> {
        let [_, taken, ..] = self.shared.context.names.project(project).seats();
        let mut command = cmd("HGETALL");
        command.arg(taken);
        Box::pin(async move {
            let taken: Vec<(Vec<u8>, usize)> = self.query(command).await?;
            let shard = |(bytes, seated)| Some(Shard { name: name(bytes)?, seated });
            Ok(taken.into_iter().filter_map(shard).collect())
        })
    }

    fn describe(&self, project: &ProjectId, shard: &ShardName, socket: SocketId, description: Bytes) {
        if self.shared.seats.describe(socket, &description) {
            self.push(project, Change::Describe(shard.clone(), socket));
        }
    }

    fn descriptions<'a>(
        &'a self,
        project: &'a ProjectId,
        shard: &'a ShardName,
    ) -> BackplaneFuture<'a, Vec<(SocketId, Bytes)>> {
        let mut command = cmd("HGETALL");
        command.arg(self.shared.context.names.project(project).shard(shard));
        Box::pin(async move {
            let all: Vec<(Vec<u8>, Vec<u8>)> = self.query(command).await?;
            let of_other_nodes = |(id, bytes): (Vec<u8>, Vec<u8>)| {
                let id = socket_id(id).filter(|id| id.node() != self.shared.context.node)?;
                Some((id, bytes.into()))
            };
            Ok(all.into_iter().filter_map(of_other_nodes).collect())
        })
    }

    fn keep_sessions(&self, sessions: Weak<dyn LocalSessions>, bounds: KeepSessions) {
        let _ = self.shared.sessions.set((sessions, bounds));
    }

    fn record_changed(&self, project: &ProjectId, socket: SocketId) {
        self.push(project, Change::Record(socket));
    }

    fn session<'a>(&'a self, project: &'a ProjectId, socket: SocketId) -> BackplaneFuture<'a, StoredSession> {
        Box::pin(async move {
            let session = self.shared.leases.session(&self.connection()?, project, socket).await;
            Ok(session.map_err(RequestError::from)?)
        })
    }

    fn take_session<'a>(
        &'a self,
        project: &'a ProjectId,
        socket: SocketId,
        record: &'a [u8],
    ) -> BackplaneFuture<'a, Option<TakenEntries>> {
        Box::pin(async move {
            let mut connection = self.connection()?;
            let taken = self.shared.leases.take_kept(&mut connection, project, socket, record).await;
            Ok(taken.map_err(RequestError::from)?)
        })
    }

    fn forget_session(&self, project: &ProjectId, socket: SocketId) {
        self.push(project, Change::ForgetSession(socket));
    }

    fn node_ended<'a>(&'a self, project: &'a ProjectId, socket: SocketId) -> BoxFuture<'a, ()> {
        Box::pin(self.shared.node_ended(project, socket))
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_until_written())
    }

    fn is_up(&self) -> bool {
        self.shared.is_up()
    }
}
