//! The bridge to original emit.gg nodes: a Switchboard project and their deployment act as one.
//!
//! With the prefix and the channel `emit.gg`:
//!
//! | name | type | content |
//! |---|---|---|
//! | `emit.gg` | channel | `{"_instance","event","data","to"}`; without `to` for everyone |
//! | `emit.gg:direct` | channel | `{"_instance","targetSocketId","event","data"}` |
//! | `emit.gg:sockets` | hash | socket id to `{"server","connectedAt"}` |
//! | `emit.gg:room:#name`, `emit.gg:tag:*name` | set | socket ids; expires a day after the last join |
//! | `emit.gg:users` | hash | user id to `{"socketId","server","onlineAt"}` |
//!
//! This node writes copies there under its lease, and ignores copies of other Switchboard nodes when it reads.
//! Messages of Switchboard nodes have an instance that begins with [`INSTANCE_PREFIX`], and only original nodes
//! deliver them.

mod keys;
mod messages;
mod presence;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use redis::{RedisResult, cmd};
use switchboard_backplane::{Content, LocalMembers, Publication};
use switchboard_event::{Event, NodeId, ProjectId, SocketId, Target, UserId};
use switchboard_wire::emit::is_reserved;
use tokio::time::Instant;

use super::servers::{LegacyDecodeError, LegacyServers};
use crate::bus::BridgeCommand;
use crate::connection::{Batch, RedisConnection};
use crate::names::{Names, ProjectNames, node_of};
use crate::options::EmitBridge;
use crate::whole_ms::whole_ms;

use keys::EmitKeys;
use messages::{Addressee, INSTANCE_PREFIX, Instance};

/// Maximum number of sets that are renewed in one pipeline.
const BATCH_MAX: usize = 1024;

/// How many times the sets of rooms and tags are renewed within their time to live.
const RENEWALS: u32 = 24;

const TO_CLIENTS: &str = include_str!("emit/to_clients.lua");

/// Maximum number of users and sockets that one script call looks up: at most a few ms of Redis' time.
const CLIENTS_MAX: usize = 1024;

/// This node's end of the bridge.
pub(super) struct EmitServers {
    bridge: EmitBridge,
    keys: EmitKeys,
    /// The channel for everyone, rooms and tags, and the channel for single sockets.
    channels: [String; 2],
    instance: Instance,
    node: NodeId,
    /// Switchboard nodes that had a lease at the last renewal, including this one.
    nodes: Mutex<HashSet<NodeId>>,
    /// Time of the next renewal of sets.
    renew_at: Mutex<Instant>,
}

impl EmitServers {
    pub(super) fn new(bridge: EmitBridge, node: NodeId) -> Self {
        EmitServers {
            keys: EmitKeys::new(&bridge),
            channels: [bridge.channel.clone(), format!("{}:direct", bridge.channel)],
            instance: Instance::of(node),
            node,
            nodes: Mutex::default(),
            renew_at: Mutex::new(Instant::now()),
            bridge,
        }
    }

    fn nodes(&self) -> MutexGuard<'_, HashSet<NodeId>> {
        self.nodes.lock().expect("no code that holds the nodes panics")
    }

    fn renew_at(&self) -> MutexGuard<'_, Instant> {
        self.renew_at.lock().expect("no code that holds the time panics")
    }

    /// Time to live of the sets of rooms and tags, in ms.
    fn set_ttl_ms(&self) -> String {
        whole_ms(self.bridge.set_ttl).to_string()
    }

    /// The sockets of original nodes in a target.
    pub(super) async fn sockets(
        &self,
        connection: &mut RedisConnection,
        names: &ProjectNames,
        target: &Target,
    ) -> RedisResult<BTreeSet<SocketId>> {
        presence::sockets(connection, &self.keys, names, target).await
    }

    /// The users of original nodes that have no socket on Switchboard nodes.
    pub(super) async fn users(
        &self,
        connection: &mut RedisConnection,
        names: &ProjectNames,
    ) -> RedisResult<BTreeSet<UserId>> {
        presence::users(connection, &self.keys, names).await
    }

    /// Updates the known nodes, and renews the sets in which this node has sockets when that is due.
    pub(super) async fn renew(
        &self,
        connection: &mut RedisConnection,
        names: &Names,
        local: Option<&dyn LocalMembers>,
    ) -> RedisResult<()> {
        let leases: Vec<Vec<u8>> = connection.query(cmd("ZRANGE").arg(names.nodes()).arg(0).arg(-1)).await?;
        *self.nodes() = leases.iter().filter_map(|lease| node_of(lease)).collect();
        let is_due = *self.renew_at() <= Instant::now();
        if let Some(local) = local.filter(|_| is_due) {
            self.renew_sets(connection, local).await?;
            *self.renew_at() = Instant::now() + self.bridge.set_ttl / RENEWALS;
        }
        Ok(())
    }

    async fn renew_sets(&self, connection: &RedisConnection, local: &dyn LocalMembers) -> RedisResult<()> {
        let mut keys = Vec::new();
        local.for_each_target(&self.bridge.project, &mut |target| {
            if matches!(target, Target::Room(_) | Target::Tag(_)) {
                keys.push(self.keys.of(target));
            }
        });
        let ttl_ms = self.set_ttl_ms();
        for keys in keys.chunks(BATCH_MAX) {
            let mut batch = Batch::default();
            for key in keys {
                let mut command = cmd("PEXPIRE");
                command.arg(key).arg(&ttl_ms);
                batch.push(&self.bridge.prefix, command);
            }
            connection.run_all(batch).await?;
        }
        Ok(())
    }

    /// Returns true if the socket is on a known Switchboard node. If not, it is on an original node, or on a Switchboard node
    /// that has started since the last renewal; original nodes ignore messages to sockets that they do not have.
    fn is_ours(&self, id: SocketId) -> bool {
        id.node() == self.node || self.nodes().contains(&id.node())
    }

    fn encode_for(&self, event: &Event, addressee: &Addressee<'_>) -> BridgeCommand {
        let [channel, direct] = &self.channels;
        let channel = if let Addressee::Socket(_) = addressee { direct } else { channel };
        let message = messages::encode(&self.instance, addressee, event);
        let mut command = cmd("PUBLISH");
        command.arg(channel).arg(&message);
        BridgeCommand { command, bytes: message.len(), work: 1 }
    }

    /// Publishes to users and sockets. A single socket needs no lookup; for others a script selects those on original
    /// nodes, which store one socket of each user.
    fn encode_for_clients(&self, event: &Event, users: &[&str], sockets: &[SocketId]) -> Vec<BridgeCommand> {
        if let ([], [socket]) = (users, sockets) {
            return vec![self.encode_for(event, &Addressee::Socket(*socket))];
        }
        let sockets: Vec<String> = sockets.iter().map(SocketId::to_string).collect();
        let sockets: Vec<&str> = sockets.iter().map(String::as_str).collect();
        let of_users = users.chunks(CLIENTS_MAX).map(|some| self.script_call(event, some, &[]));
        let of_sockets = sockets.chunks(CLIENTS_MAX).map(|some| self.script_call(event, &[], some));
        of_users.chain(of_sockets).collect()
    }

    fn script_call(&self, event: &Event, users: &[&str], sockets: &[&str]) -> BridgeCommand {
        let [head, tail] = messages::around_socket(&self.instance, event);
        let mut command = cmd("EVAL");
        command.arg(TO_CLIENTS).arg(2).arg(&self.keys.users).arg(self.keys.of(&Target::Everyone));
        command.arg(INSTANCE_PREFIX).arg(&self.channels[1]).arg(&head).arg(&tail);
        command.arg(users.len()).arg(users).arg(sockets);
        let names: usize = users.iter().chain(sockets).map(|name| name.len()).sum();
        let bytes = TO_CLIENTS.len() + head.len() + tail.len() + names;
        BridgeCommand { command, bytes, work: users.len() + sockets.len() }
    }
}

impl LegacyServers for EmitServers {
    fn project(&self) -> &ProjectId {
        &self.bridge.project
    }

    fn copies(&self) -> Option<(&'static str, String)> {
        Some(("emit", format!("{} {}", self.set_ttl_ms(), self.bridge.prefix)))
    }

    fn channels(&self) -> &[String] {
        &self.channels
    }

    fn decode(&self, channel: &str, message: &Bytes) -> Result<Option<Publication>, LegacyDecodeError> {
        if messages::is_ours(message) {
            return Ok(None);
        }
        let decoded = if channel == self.channels[1] {
            messages::decode_direct(message)?
        } else {
            messages::decode(message)?
        };
        let project = self.bridge.project.clone();
        Ok(decoded.map(|(target, content)| Publication { project, audience: target.into(), content }))
    }

    /// The format of original nodes has no exclusions, so only whole targets are excluded. It has one target per
    /// message, so a socket on an original node that is in two targets receives the event twice.
    fn encode(&self, publication: &Publication) -> Vec<BridgeCommand> {
        let Publication { audience, content, .. } = publication;
        let (Content::Event { event, .. } | Content::Stored { event, .. }) = content else {
            return Vec::new();
        };
        // The clients of original nodes raise events of these names themselves, and their nodes do not filter.
        if audience.except.contains(&Target::Everyone) || is_reserved(&event.name) {
            return Vec::new();
        }
        let everyone = [Target::Everyone];
        let to: &[Target] = if audience.to.contains(&Target::Everyone) { &everyone } else { &audience.to };
        let mut done: HashSet<&Target> = audience.except.iter().collect();
        let (mut commands, mut users, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for target in to.iter().filter(|target| done.insert(*target)) {
            match target {
                Target::Everyone => commands.push(self.encode_for(event, &Addressee::Everyone)),
                Target::Room(name) => commands.push(self.encode_for(event, &Addressee::Members(name))),
                Target::Tag(name) => commands.push(self.encode_for(event, &Addressee::Members(name))),
                Target::User(user) => users.push(&**user),
                Target::Socket(id) if self.is_ours(*id) => {}
                Target::Socket(id) => sockets.push(*id),
            }
        }
        commands.extend(self.encode_for_clients(event, &users, &sockets));
        commands
    }
}
