//! The lease under which a node's entries stand, and taking out what a dead one left.

use std::collections::HashSet;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, Value};
use switchboard_event::{NodeId, ProjectId};

use super::scripts::Scripts;
use crate::connection::script::{call, number};
use crate::connection::{Batch, Link};
use crate::envelope;
use crate::legacy::Bridges;
use crate::names::{Names, ProjectNames, node_of};

/// Most entries that one call takes out, so that it is short.
const SWEEP_MAX: usize = 1000;

/// A time in which a node's entries are its own. A node that lost its lease begins another.
pub(crate) struct Lease {
    pub(super) id: String,
    /// Projects that are noted with the lease.
    pub(super) projects: HashSet<ProjectId>,
}

/// What a renewal said.
pub(super) struct Renewed {
    pub(super) is_ours: bool,
    pub(super) nodes: usize,
    pub(super) dead: Vec<String>,
}

/// Leases as they stand in Redis.
pub(crate) struct Leases {
    pub(super) scripts: Scripts,
    names: Names,
    length: Duration,
    publish_verb: &'static str,
}

impl Leases {
    pub(crate) fn new(names: Names, length: Duration, publish_verb: &'static str) -> Self {
        Leases { scripts: Scripts::new(), names, length, publish_verb }
    }

    pub(crate) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        self.scripts.load(link).await
    }

    fn length_ms(&self) -> String {
        self.length.as_millis().to_string()
    }

    /// Begins a lease; none while another one of the same node stands.
    pub(crate) async fn claim(&self, link: &mut Link, node: NodeId) -> RedisResult<Option<Lease>> {
        let id = format!("{node}-{:016x}", rand::random::<u64>());
        let length = self.length_ms();
        let command = call(&self.scripts.claim, &[self.names.nodes()], &[id.as_bytes(), length.as_bytes()]);
        let answer = link.command(&command).await?;
        let is_ours = number(&answer.extract_error()?) == Some(1);
        Ok(is_ours.then(|| Lease { id, projects: HashSet::new() }))
    }

    /// Renews a lease, and tells which ones have run out.
    pub(super) async fn renew(&self, link: &mut Link, lease: &str) -> RedisResult<Renewed> {
        let length = self.length_ms();
        let command =
            call(&self.scripts.renew, &[self.names.nodes()], &[lease.as_bytes(), length.as_bytes()]);
        let answer = Vec::<Value>::from_redis_value(link.command(&command).await?.extract_error()?)?;
        let mut answer = answer.into_iter();
        let mut next = || answer.next().as_ref().and_then(number);
        let (is_ours, nodes) = (next() == Some(1), next().unwrap_or(0) as usize);
        let dead = answer.filter_map(|lease| String::from_redis_value(lease).ok()).collect();
        Ok(Renewed { is_ours, nodes, dead })
    }

    /// Notes projects before anything is written in them, and where originals will have copies of it. False
    /// if the lease is lost.
    pub(super) async fn register(
        &self,
        link: &mut Link,
        lease: &mut Lease,
        projects: HashSet<ProjectId>,
        bridges: &Bridges,
    ) -> RedisResult<bool> {
        if projects.is_empty() {
            return Ok(true);
        }
        let keys = [self.names.nodes(), self.names.projects(&lease.id)];
        let mut args = vec![lease.id.as_bytes()];
        args.extend(projects.iter().map(|project| project.as_bytes()));
        let answer = link.command(&call(&self.scripts.register, &keys, &args)).await?.extract_error()?;
        if number(&answer) != Some(1) {
            return Ok(false);
        }
        let mut batch = Batch::default();
        for project in &projects {
            let names = self.names.project(project);
            let keys = [names.index(&lease.id), names.tombstone(&lease.id), names.mirror(&lease.id)];
            let notes = bridges.notes(project);
            let notes: Vec<&[u8]> = notes.iter().map(String::as_bytes).collect();
            batch.push(names.base(), call(&self.scripts.open, &keys, &notes));
        }
        lease.projects.extend(projects);
        let answers = link.run(batch).await?;
        answers
            .into_iter()
            .try_fold(true, |open, answer| Ok(open && number(&answer.extract_error()?) == Some(1)))
    }

    /// Forgets projects in which nothing of the lease is left.
    pub(super) async fn unregister(
        &self,
        link: &mut Link,
        lease: &mut Lease,
        projects: &[ProjectId],
    ) -> RedisResult<()> {
        if projects.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut command = redis::cmd("SREM");
        command.arg(self.names.projects(&lease.id));
        for project in projects {
            let names = self.names.project(project);
            batch.push(
                names.base(),
                call(&self.scripts.close, &[names.index(&lease.id), names.mirror(&lease.id)], &[]),
            );
            command.arg(&**project);
            lease.projects.remove(project);
        }
        for answer in link.run(batch).await? {
            answer.extract_error()?;
        }
        link.command(&command).await?.extract_error().map(drop)
    }

    /// Takes out everything that a lease left, and the lease. Any number of nodes may do so at the
    /// same time, and begin again where one was interrupted.
    pub(super) async fn sweep(&self, link: &mut Link, lease: &str) -> RedisResult<()> {
        let Some(node) = node_of(lease.as_bytes()) else {
            return self.drop_unreadable(link, lease).await;
        };
        loop {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(self.names.projects(lease));
            let answer = link.command(&command).await?.extract_error()?;
            let projects = Vec::<Vec<u8>>::from_redis_value(answer)?;
            for bytes in &projects {
                if let Some(project) =
                    std::str::from_utf8(bytes).ok().and_then(|text| ProjectId::new(text).ok())
                {
                    while self.sweep_some(link, lease, node, &project).await? > 0 {}
                }
                let mut command = redis::cmd("SREM");
                command.arg(self.names.projects(lease)).arg(bytes);
                link.command(&command).await?.extract_error()?;
            }
            let keys = [self.names.nodes(), self.names.projects(lease)];
            let answer = link.command(&call(&self.scripts.forget, &keys, &[lease.as_bytes()])).await?;
            // Zero if it noted another project in the meantime.
            if number(&answer.extract_error()?) != Some(0) {
                return Ok(());
            }
        }
    }

    /// Takes out what a lease of this node may have written after others swept it.
    pub(super) async fn sweep_again(&self, link: &mut Link, lease: &Lease, node: NodeId) -> RedisResult<()> {
        for project in &lease.projects {
            while self.sweep_some(link, &lease.id, node, project).await? > 0 {}
        }
        Ok(())
    }

    /// Something among the leases that no node wrote.
    async fn drop_unreadable(&self, link: &mut Link, lease: &str) -> RedisResult<()> {
        tracing::warn!(key = self.names.nodes(), lease, "what is no lease is taken out");
        let mut command = redis::cmd("ZREM");
        command.arg(self.names.nodes()).arg(lease);
        link.command(&command).await?.extract_error().map(drop)
    }

    async fn sweep_some(
        &self,
        link: &mut Link,
        lease: &str,
        node: NodeId,
        project: &ProjectId,
    ) -> RedisResult<i64> {
        let names = self.names.project(project);
        let mut keys = seat_keys(&names, lease);
        keys.extend([names.users(), names.tombstone(lease), names.mirror(lease)]);
        // The tombstone stands for as long as a lease: who was stopped for longer, between asking whether
        // it may write and doing so, sweeps for itself when it finds its lease lost.
        let (most, stands) = (SWEEP_MAX.to_string(), self.length_ms());
        // Of no node, so that the one who sweeps hears it as well.
        let message = envelope::shard_changed(NodeId(0), project, "");
        let channel = names.shard_channel_head();
        let args: [&[u8]; 7] = [
            &node.0.to_be_bytes(),
            most.as_bytes(),
            stands.as_bytes(),
            names.base().as_bytes(),
            self.publish_verb.as_bytes(),
            channel.as_bytes(),
            &message,
        ];
        let answer = link.command(&call(&self.scripts.sweep, &keys, &args)).await?.extract_error()?;
        Ok(number(&answer).unwrap_or(0))
    }
}

/// The keys of `seats.lua`.
pub(super) fn seat_keys(names: &ProjectNames, lease: &str) -> Vec<String> {
    std::iter::once(names.index(lease)).chain(names.seats()).collect()
}
