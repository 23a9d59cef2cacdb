//! The bridge to original emit.gg nodes: one project of ours and they hear one another.
//!
//! With the prefix and the channel `emit.gg`:
//!
//! | name | type | holds |
//! |---|---|---|
//! | `emit.gg` | channel | `{"_instance","event","data","to"}`; without `to` for everyone |
//! | `emit.gg:direct` | channel | `{"_instance","targetSocketId","event","data"}` |
//! | `emit.gg:sockets` | hash | socket id → `{"server","connectedAt"}` |
//! | `emit.gg:room:#name`, `emit.gg:tag:*name` | set | socket ids; they end a day after the last join |
//! | `emit.gg:users` | hash | user id → `{"socketId","server","onlineAt"}` |
//!
//! Ours stands in Redis beside it as ever: what is written here is a copy, under the same lease, and
//! what is read here is only what is not of ours. Messages of Switchboard nodes are for original nodes
//! alone; one of ours is known by its instance, which begins with [`INSTANCE_HEAD`].

mod census;
mod messages;
mod upkeep;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Event, NodeId, ProjectId, Target, UserId};

pub(crate) use census::{sockets, users};
pub(crate) use upkeep::Upkeep;

use super::{Bridged, NoMessage, Telling};
use messages::{Addressee, Instance};

/// What the instances of Switchboard nodes begin with; `mirror.lua` writes it as well. An original's
/// is at most eight letters and digits.
pub(crate) const INSTANCE_HEAD: &str = "switchboard:";

/// Which original emit.gg nodes this node is bridged to, on the same Redis: one server or Sentinel,
/// not a cluster.
///
/// ```
/// use switchboard_redis::{EmitBridge, Options};
///
/// let options = Options { emit: Some(EmitBridge::default()), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmitBridge {
    /// The `prefix` of the originals' Redis adapter; default `emit.gg`.
    pub prefix: String,
    /// The `channel` of the originals' Redis adapter; default `emit.gg`.
    pub channel: String,
    /// The project that is bridged; default `default`. The others are nothing to original nodes.
    pub project: ProjectId,
    /// How long the sets of rooms and tags stand without a node that renews them; default 24 h, as in
    /// the original. Renewed 24 times as often.
    pub members_stand: Duration,
}

impl Default for EmitBridge {
    fn default() -> Self {
        EmitBridge {
            prefix: "emit.gg".into(),
            channel: "emit.gg".into(),
            project: ProjectId::new("default").expect("the name is neither empty nor long"),
            members_stand: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl EmitBridge {
    /// The hash or the set that holds the sockets of a target; for a user, the hash of all users.
    pub(crate) fn key(&self, target: &Target) -> String {
        let prefix = &self.prefix;
        match target {
            Target::Everyone | Target::Socket(_) => format!("{prefix}:sockets"),
            Target::User(_) => self.users(),
            Target::Room(name) => format!("{prefix}:room:{name}"),
            Target::Tag(name) => format!("{prefix}:tag:{name}"),
        }
    }

    fn users(&self) -> String {
        format!("{}:users", self.prefix)
    }

    /// How long sets stand, as Redis takes it.
    pub(crate) fn members_stand_ms(&self) -> String {
        self.members_stand.as_millis().max(1).to_string()
    }
}

/// This node's end of the bridge.
pub(crate) struct BridgedEmit {
    pub(crate) bridge: EmitBridge,
    /// For everyone, rooms and tags; and for single sockets.
    channels: [String; 2],
    instance: Instance,
    node: NodeId,
    /// Switchboard nodes with a lease, this one among them, as of the last renewal.
    ours: Mutex<HashSet<NodeId>>,
}

const TO_USER: &str = include_str!("emit/to_user.lua");

impl BridgedEmit {
    pub(crate) fn new(bridge: EmitBridge, node: NodeId) -> Self {
        let channels = [bridge.channel.clone(), format!("{}:direct", bridge.channel)];
        BridgedEmit { bridge, channels, instance: Instance::of(node), node, ours: Mutex::default() }
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<NodeId>> {
        self.ours.lock().expect("no code that holds the nodes panics")
    }

    fn tell(&self, event: &Event, target: &Target) -> Option<Telling> {
        let [channel, direct] = &self.channels;
        let (channel, addressee) = match target {
            Target::Everyone => (channel, Addressee::Everyone),
            Target::Room(name) => (channel, Addressee::Members(name)),
            Target::Tag(name) => (channel, Addressee::Members(name)),
            // Who is on none of our nodes is perhaps on one of theirs. Who came since the last renewal
            // is taken for one of theirs, and nobody there has that id.
            Target::Socket(id) if id.node() == self.node || self.ours().contains(&id.node()) => return None,
            Target::Socket(id) => (direct, Addressee::Socket(*id)),
            Target::User(user) => return Some(self.tell_user(event, user)),
        };
        let message = messages::encode(&self.instance, &addressee, event);
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&message);
        Some(Telling { command, bytes: message.len() })
    }

    /// Redis finds the one socket of the user that an original node knows of, if it is of theirs.
    fn tell_user(&self, event: &Event, user: &UserId) -> Telling {
        let [head, tail] = messages::around_socket(&self.instance, event);
        let mut command = redis::cmd("EVAL");
        command.arg(TO_USER).arg(1).arg(self.bridge.users());
        command.arg(&**user).arg(INSTANCE_HEAD).arg(&self.channels[1]).arg(&head).arg(&tail);
        Telling { command, bytes: TO_USER.len() + head.len() + tail.len() }
    }
}

impl Bridged for BridgedEmit {
    fn project(&self) -> &ProjectId {
        &self.bridge.project
    }

    fn note(&self) -> Option<(&'static str, String)> {
        Some(("emit", format!("{} {}", self.bridge.members_stand_ms(), self.bridge.prefix)))
    }

    fn channels(&self) -> &[String] {
        &self.channels
    }

    fn heard(&self, channel: &str, message: &Bytes) -> Result<Option<Publication>, NoMessage> {
        if messages::is_ours(message) {
            return Ok(None);
        }
        let heard = if channel == self.channels[1] {
            messages::decode_direct(message)?
        } else {
            messages::decode(message)?
        };
        let project = self.bridge.project.clone();
        Ok(heard.map(|(target, content)| Publication { project, audience: target.into(), content }))
    }

    /// They know neither exceptions, unless a whole target is one, nor several targets: a socket of
    /// theirs that is in two of them hears it twice.
    fn telling(&self, publication: &Publication) -> Vec<Telling> {
        let Publication { audience, content, .. } = publication;
        let (Content::Event { event, .. } | Content::Stored { event, .. }) = content else {
            return Vec::new();
        };
        if audience.except.contains(&Target::Everyone) {
            return Vec::new();
        }
        let everyone = [Target::Everyone];
        let to: &[Target] = if audience.to.contains(&Target::Everyone) { &everyone } else { &audience.to };
        let mut done: HashSet<&Target> = audience.except.iter().collect();
        to.iter()
            .filter(|target| done.insert(*target))
            .filter_map(|target| self.tell(event, target))
            .collect()
    }
}
