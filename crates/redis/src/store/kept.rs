//! Sessions of dead nodes: the sweep of an expired lease keeps their entries for a while, and another node may take each of
//! them once.
//!
//! A node writes a record for each session that can be resumed, with the session's presence. The sweep adds the session's
//! targets. A session that nobody takes ends when its time is over: it is reported, and its entries are removed.

use redis::{FromRedisValue, RedisResult, Value, cmd};
use switchboard_backplane::{StoredSession, TakenEntries};
use switchboard_event::{NodeId, ProjectId, ShardName, SocketId, Target};

use super::lease::{Leases, seat_keys};
use crate::connection::{Batch, RedisConnection};
use crate::envelope;
use crate::names::name;

/// Maximum number of sessions that one call ends.
const END_MAX: usize = 100;

/// How long the node that ends sessions keeps others from it.
const LOCK_MS: u64 = 10_000;

/// How long the entries of a taken session stay if its taker dies before it has removed them.
const TAKEN_MS: u64 = 30_000;

/// Kept sessions that have ended, and whose entries are still there.
pub(super) struct Ended {
    /// Number of sessions that are kept in the project.
    pub(super) kept: usize,
    /// With true for a session that was not taken.
    pub(super) sockets: Vec<(SocketId, bool)>,
}

impl Leases {
    /// Ends the right of an expired lease to write, and selects the sessions that are kept in each of its projects. Returns
    /// the number of those that are not.
    pub(super) async fn begin_sweep(
        &self,
        connection: &mut RedisConnection,
        lease: &str,
        sessions_max: usize,
    ) -> RedisResult<usize> {
        let (mut dropped, tombstone_ms) = (0, self.length_ms());
        for project in self.projects(connection, lease).await? {
            let names = self.names.project(&project);
            let [kept, _] = names.kept();
            let keys = [
                names.index(lease),
                names.tombstone(lease),
                names.mirror(lease),
                names.sessions(lease),
                names.sweep_cursors(lease),
                kept,
            ];
            let max = sessions_max.to_string();
            let call = self.scripts.begin_sweep.call(&keys, &[tombstone_ms.as_bytes(), max.as_bytes()]);
            loop {
                let [count, has_more]: [usize; 2] = connection.query(&call).await?;
                dropped += count;
                if has_more == 0 {
                    break;
                }
            }
        }
        Ok(dropped)
    }

    /// The projects of a lease.
    pub(super) async fn projects(
        &self,
        connection: &mut RedisConnection,
        lease: &str,
    ) -> RedisResult<Vec<ProjectId>> {
        let projects: Vec<Vec<u8>> =
            connection.query(cmd("SMEMBERS").arg(self.names.projects(lease))).await?;
        Ok(projects.into_iter().filter_map(name).collect())
    }

    /// The projects that may have kept sessions.
    pub(super) async fn projects_with_kept(
        &self,
        connection: &mut RedisConnection,
    ) -> RedisResult<Vec<ProjectId>> {
        let projects: Vec<Vec<u8>> =
            connection.query(cmd("SMEMBERS").arg(self.names.projects_with_kept())).await?;
        Ok(projects.into_iter().filter_map(name).collect())
    }

    /// The state of a session, and whether its node is subscribed to the channel of its sockets.
    pub(super) async fn session(
        &self,
        connection: &RedisConnection,
        project: &ProjectId,
        socket: SocketId,
    ) -> RedisResult<StoredSession> {
        let names = self.names.project(project);
        let [kept, _] = names.kept();
        let mut batch = Batch::default();
        let mut record = cmd("HGET");
        record.arg(kept).arg(socket.as_bytes());
        let mut entry = cmd("ZSCORE");
        entry.arg(names.members(&Target::Everyone)).arg(socket.as_bytes());
        batch.push(names.base(), record);
        batch.push(names.base(), entry);
        // In a cluster the subscribers of a channel are counted by its server alone.
        if matches!(connection, RedisConnection::Single(..)) {
            let mut subscribers = cmd("PUBSUB");
            subscribers.arg("NUMSUB").arg(names.node_channel(socket.node()));
            batch.push(names.base(), subscribers);
        }
        let mut replies = connection.run(batch).await?.into_iter().map(Value::extract_error);
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let record = Option::<Vec<u8>>::from_redis_value(next()?)?;
        let is_held = !matches!(next()?, Value::Nil);
        let subscribers = Vec::<Value>::from_redis_value(next()?).unwrap_or_default().pop();
        Ok(match record {
            Some(record) if record.len() > 1 => StoredSession::Detached(record.into()),
            None if is_held => StoredSession::Held { is_reachable: subscribers != Some(Value::Int(0)) },
            _ => StoredSession::Ended,
        })
    }

    /// Takes a kept session, and returns its places.
    pub(super) async fn take_kept(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
        socket: SocketId,
        record: &[u8],
    ) -> RedisResult<Option<TakenEntries>> {
        let names = self.names.project(project);
        let taken_ms = TAKEN_MS.to_string();
        let args = [socket.as_bytes(), record, taken_ms.as_bytes(), names.base().as_bytes()];
        let targets: Option<Vec<Vec<u8>>> =
            connection.query(&self.scripts.take_kept.call(&names.kept(), &args)).await?;
        Ok(targets.map(read_entries))
    }

    /// The call that removes the entries of a session that was taken or has ended.
    pub(super) fn forget_kept(&self, lease: &str, project: &ProjectId, socket: SocketId) -> redis::Cmd {
        let names = self.names.project(project);
        let mut keys = seat_keys(&names, lease);
        keys.extend([names.users(), names.rooms()].into_iter().chain(names.kept()));
        // Sender 0 is no node, so this node does not drop the message as its own.
        let message = envelope::shard_changed(NodeId(0), project, "");
        let channel = names.shard_channel_prefix();
        let args: [&[u8]; 5] = [
            socket.as_bytes(),
            names.base().as_bytes(),
            self.publish_verb.as_bytes(),
            channel.as_bytes(),
            &message,
        ];
        self.scripts.forget_kept.call(&keys, &args)
    }

    /// Ends sessions whose time is over, unless another node does.
    pub(super) async fn end_kept(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
    ) -> RedisResult<Option<Ended>> {
        let names = self.names.project(project);
        let mut lock = cmd("SET");
        lock.arg(names.kept_lock()).arg("").arg("NX").arg("PX").arg(LOCK_MS);
        if connection.query::<Option<String>>(&lock).await?.is_none() {
            return Ok(None);
        }
        let max = END_MAX.to_string();
        let reply: Vec<Value> =
            connection.query(&self.scripts.end_kept.call(&names.kept(), &[max.as_bytes()])).await?;
        let mut reply = reply.into_iter();
        let kept = usize::from_redis_value(reply.next().unwrap_or(Value::Int(0)))?;
        let mut sockets = Vec::new();
        while let (Some(socket), Some(state)) = (reply.next(), reply.next()) {
            let socket = <[u8; 16]>::try_from(Vec::<u8>::from_redis_value(socket)?);
            let is_ended = Vec::<u8>::from_redis_value(state)? == b"+";
            sockets.extend(socket.ok().map(|socket| (SocketId::from_bytes(socket), is_ended)));
        }
        Ok(Some(Ended { kept, sockets }))
    }

    pub(super) async fn unlock_kept(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
    ) -> RedisResult<()> {
        connection.query(cmd("DEL").arg(self.names.project(project).kept_lock())).await
    }

    /// The project has no kept session any more.
    pub(super) async fn forget_project_with_kept(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
    ) -> RedisResult<()> {
        connection.query(cmd("SREM").arg(self.names.projects_with_kept()).arg(&**project)).await
    }

    /// Ends the lease of a node, which does not renew it any more.
    pub(super) async fn expire(&self, connection: &mut RedisConnection, node: NodeId) -> RedisResult<()> {
        let node = node.to_string();
        connection.query(&self.scripts.expire_lease.call(&[self.names.nodes()], &[node.as_bytes()])).await
    }
}

/// The places of a session as the script returns them: `%` and the description follows its seat.
fn read_entries(texts: Vec<Vec<u8>>) -> TakenEntries {
    let mut entries = TakenEntries::default();
    let mut seat: Option<ShardName> = None;
    for text in texts {
        match text.split_first() {
            Some((b'$', shard)) => seat = name(shard.to_vec()),
            Some((b'%', description)) => {
                let shard = seat.take();
                entries.seat = shard.map(|shard| (shard, description.to_vec().into()));
            }
            _ => entries.targets.extend(read_target(&text)),
        }
    }
    entries
}

/// A target as the sweep has written it. `None` for everyone, in which every socket is.
fn read_target(text: &[u8]) -> Option<Target> {
    let text = std::str::from_utf8(text).ok()?;
    match text.split_at_checked(1)? {
        ("#", _) => Target::room(text).ok(),
        ("*", _) => Target::tag(text).ok(),
        ("@", user) => Target::user(user).ok(),
        _ => None,
    }
}
