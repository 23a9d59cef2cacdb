//! Leases: a node's entries belong to its lease, and a lease that is not renewed is swept.

use std::collections::HashSet;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, RedisResult, Value, cmd};
use switchboard_backplane::NodeLease;
use switchboard_event::{NodeId, ProjectId};
use switchboard_log::{limited, printable};

use super::mirror::PresenceMirror;
use super::scripts::StoreScripts;
use crate::connection::script::{self, integer};
use crate::connection::{Batch, RedisConnection};
use crate::envelope;
use crate::names::{Names, ProjectNames, node_of};
use crate::whole_ms::whole_ms;

/// Maximum number of entries that one call removes, so that no call is long.
const SWEEP_MAX: usize = 1000;

/// A lease of this node. A node that has lost its lease claims a new one with a new id.
pub(crate) struct Lease {
    pub(super) id: String,
    /// Projects in which the lease may write.
    pub(super) projects: HashSet<ProjectId>,
}

/// Why writing stopped.
pub(super) enum WriteError {
    /// The connection failed.
    Redis(RedisError),
    /// The whole presence must be written again: the lease has expired, changes were dropped, or the
    /// connection is to another Redis server, which may lack earlier writes.
    LeaseLost,
}

impl From<RedisError> for WriteError {
    fn from(error: RedisError) -> Self {
        WriteError::Redis(error)
    }
}

/// The reply to a renewal.
pub(super) struct Renewal {
    pub(super) is_ours: bool,
    /// Number of live nodes.
    pub(super) nodes: usize,
    /// Ids of expired leases.
    pub(super) expired: Vec<String>,
}

/// Claims, renews and sweeps leases.
pub(crate) struct Leases {
    pub(super) scripts: StoreScripts,
    pub(super) names: Names,
    length: Duration,
    pub(super) publish_verb: &'static str,
}

impl Leases {
    /// `copies` is the Lua of a [`PresenceMirror`], if there is one.
    pub(crate) fn new(
        names: Names,
        length: Duration,
        publish_verb: &'static str,
        copies: Option<&str>,
    ) -> Self {
        Leases { scripts: StoreScripts::new(copies), names, length, publish_verb }
    }

    pub(crate) async fn load(&self, connection: &mut RedisConnection) -> RedisResult<()> {
        script::load(connection, &self.scripts).await
    }

    pub(super) fn length_ms(&self) -> String {
        whole_ms(self.length).to_string()
    }

    /// Claims a lease. `None` if the node has a live lease already.
    pub(crate) async fn claim(
        &self,
        connection: &mut RedisConnection,
        node: NodeId,
    ) -> RedisResult<Option<Lease>> {
        let id = format!("{node}-{:016x}", rand::random::<u64>());
        let length = self.length_ms();
        let call = self.scripts.claim.call(&[self.names.nodes()], &[id.as_bytes(), length.as_bytes()]);
        let reply: Value = connection.query(&call).await?;
        Ok((integer(&reply) == Some(1)).then(|| Lease { id, projects: HashSet::new() }))
    }

    /// Renews a lease, and finds leases that have expired.
    pub(super) async fn renew(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<Renewal> {
        let length = self.length_ms();
        let call = self.scripts.renew.call(&[self.names.nodes()], &[lease.as_bytes(), length.as_bytes()]);
        let mut reply = connection.query::<Vec<Value>>(&call).await?.into_iter();
        let mut next = || reply.next().as_ref().and_then(integer);
        let (is_ours, nodes) = (next() == Some(1), next().unwrap_or(0) as usize);
        let expired = reply.filter_map(|lease| String::from_redis_value(lease).ok()).collect();
        Ok(Renewal { is_ours, nodes, expired })
    }

    /// The nodes with a lease, by Redis' clock.
    pub(super) async fn list(&self, connection: &mut RedisConnection) -> RedisResult<Vec<NodeLease>> {
        let (seconds, micros): (u64, u64) = connection.query(&cmd("TIME")).await?;
        let now_ms = seconds * 1000 + micros / 1000;
        let mut command = cmd("ZRANGE");
        command.arg(self.names.nodes()).arg(0).arg(-1).arg("WITHSCORES");
        let leases: Vec<(Vec<u8>, f64)> = connection.query(&command).await?;
        let entry = |(lease, ends): (Vec<u8>, f64)| {
            Some(NodeLease { node: node_of(&lease)?, left_ms: (ends as u64).saturating_sub(now_ms) })
        };
        Ok(leases.into_iter().filter_map(entry).collect())
    }

    /// Registers projects, and their copies for original servers, before the first write in them. Returns
    /// false if the lease is lost.
    pub(super) async fn register(
        &self,
        connection: &mut RedisConnection,
        lease: &mut Lease,
        projects: HashSet<ProjectId>,
        mirror: Option<&dyn PresenceMirror>,
    ) -> RedisResult<bool> {
        if projects.is_empty() {
            return Ok(true);
        }
        let keys = [self.names.nodes(), self.names.projects(&lease.id)];
        let mut args = vec![lease.id.as_bytes()];
        args.extend(projects.iter().map(|project| project.as_bytes()));
        let reply: Value = connection.query(&self.scripts.register.call(&keys, &args)).await?;
        if integer(&reply) != Some(1) {
            return Ok(false);
        }
        let mut batch = Batch::default();
        for project in &projects {
            let names = self.names.project(project);
            let keys = [names.index(&lease.id), names.tombstone(&lease.id), names.mirror(&lease.id)];
            let copies = mirror.map(|mirror| mirror.copies(project)).unwrap_or_default();
            let copies: Vec<&[u8]> = copies.iter().map(String::as_bytes).collect();
            batch.push(names.base(), self.scripts.open_project.call(&keys, &copies));
        }
        lease.projects.extend(projects);
        let replies = connection.run(batch).await?;
        replies
            .into_iter()
            .try_fold(true, |open, reply| Ok(open && integer(&reply.extract_error()?) == Some(1)))
    }

    /// Unregisters projects in which the lease has no entries left.
    pub(super) async fn unregister(
        &self,
        connection: &mut RedisConnection,
        lease: &mut Lease,
        projects: &[ProjectId],
    ) -> RedisResult<()> {
        if projects.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut command = cmd("SREM");
        command.arg(self.names.projects(&lease.id));
        for project in projects {
            let names = self.names.project(project);
            let keys = [names.index(&lease.id), names.mirror(&lease.id)];
            batch.push(names.base(), self.scripts.close_project.call(&keys, &[]));
            command.arg(&**project);
            lease.projects.remove(project);
        }
        connection.run_all(batch).await?;
        connection.query(&command).await
    }

    /// Removes a lease and all its entries, except for those of sessions that
    /// [`begin_sweep`](Self::begin_sweep) has selected: these can then be taken for the time `keep`. Several nodes may do so
    /// at the same time, and an interrupted sweep can be repeated.
    pub(super) async fn sweep(
        &self,
        connection: &mut RedisConnection,
        lease: &str,
        keep: Option<Duration>,
    ) -> RedisResult<()> {
        let Some(node) = node_of(lease.as_bytes()) else {
            return self.remove_invalid(connection, lease).await;
        };
        loop {
            let projects: Vec<Vec<u8>> =
                connection.query(cmd("SMEMBERS").arg(self.names.projects(lease))).await?;
            for bytes in &projects {
                if let Some(project) =
                    std::str::from_utf8(bytes).ok().and_then(|text| ProjectId::new(text).ok())
                {
                    while self.sweep_some(connection, lease, node, &project, keep).await? > 0 {}
                    if keep.is_some() {
                        // At the end, because a node removes the name of a project without kept sessions.
                        let mut command = cmd("SADD");
                        command.arg(self.names.projects_with_kept()).arg(bytes);
                        let _: Value = connection.query(&command).await?;
                    }
                }
                let _: Value =
                    connection.query(cmd("SREM").arg(self.names.projects(lease)).arg(bytes)).await?;
            }
            let keys = [self.names.nodes(), self.names.projects(lease)];
            let reply: Value =
                connection.query(&self.scripts.remove_lease.call(&keys, &[lease.as_bytes()])).await?;
            // 0 if the lease has registered another project in the meantime.
            if integer(&reply) != Some(0) {
                return Ok(());
            }
        }
    }

    /// Removes entries that a lease of this node may have written after another node swept it.
    pub(super) async fn sweep_again(
        &self,
        connection: &mut RedisConnection,
        lease: &Lease,
        node: NodeId,
    ) -> RedisResult<()> {
        for project in &lease.projects {
            while self.sweep_some(connection, &lease.id, node, project, None).await? > 0 {}
        }
        Ok(())
    }

    /// Removes an invalid entry from the set of leases.
    async fn remove_invalid(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<()> {
        limited!(
            WARN,
            key = self.names.nodes(),
            lease = printable(lease),
            "entry is not a lease id; it is removed"
        );
        connection.query(cmd("ZREM").arg(self.names.nodes()).arg(lease)).await
    }

    /// Removes some of a lease's entries in a project. Returns 0 if nothing is left to do.
    async fn sweep_some(
        &self,
        connection: &mut RedisConnection,
        lease: &str,
        node: NodeId,
        project: &ProjectId,
        keep: Option<Duration>,
    ) -> RedisResult<i64> {
        let names = self.names.project(project);
        let mut keys = seat_keys(&names, lease);
        keys.extend([names.users(), names.tombstone(lease), names.mirror(lease), names.rooms()]);
        keys.extend([names.sessions(lease), names.sweep_cursors(lease)].into_iter().chain(names.kept()));
        // The tombstone expires after the length of a lease. A node that is suspended for longer between its
        // check and its write finds its lease lost, and sweeps its own entries.
        let (max, tombstone_ms) = (SWEEP_MAX.to_string(), self.length_ms());
        let keep_ms = whole_ms(keep.unwrap_or_default()).to_string();
        // Sender 0 is no node, so the sweeping node does not drop the message as its own.
        let message = envelope::shard_changed(NodeId(0), project, "");
        let channel = names.shard_channel_prefix();
        let args: [&[u8]; 8] = [
            &node.0.to_be_bytes(),
            max.as_bytes(),
            tombstone_ms.as_bytes(),
            names.base().as_bytes(),
            self.publish_verb.as_bytes(),
            channel.as_bytes(),
            &message,
            keep_ms.as_bytes(),
        ];
        let reply: Value = connection.query(&self.scripts.sweep.call(&keys, &args)).await?;
        Ok(integer(&reply).unwrap_or(0))
    }
}

/// The keys of `seats.lua`.
pub(super) fn seat_keys(names: &ProjectNames, lease: &str) -> Vec<String> {
    std::iter::once(names.index(lease)).chain(names.seats()).collect()
}
