//! The bridge to original Mesa servers and Dispatchers: one project of ours is their namespace.
//!
//! With the namespace `api`; without one, nothing is put behind the names:
//!
//! | name | type | holds |
//! |---|---|---|
//! | `ws_api` | channel | `{"message":{"op","d","t"},"recipients"}`; recipients are users, or `*` for everyone |
//! | `connected_clients_api` | set | users with a socket |
//! | `connected_clients_count_api` | number | connections |
//! | `undelivered_messages_api` | hash | user → a JSON array of messages that wait |
//!
//! Every Switchboard node hears what is said on the channel and delivers it to its own sockets. What it says
//! there itself begins with [`OURS`], a member that originals do not look at.

mod messages;
pub(crate) mod portals;
pub(crate) mod undelivered;

use std::collections::HashSet;

use bytes::Bytes;
use redis::cmd;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Audience, NodeId, ProjectId, Target};

use super::{Bridged, NoMessage, Telling};

/// What messages of Switchboard nodes have in front.
const OURS: &str = "switchboard";

/// Which original Mesa servers and Dispatchers this node is bridged to, on the same Redis: one server or
/// Sentinel, not a cluster.
///
/// ```
/// use switchboard_redis::{MesaBridge, Options};
///
/// let mesa = MesaBridge { namespace: Some("api".into()), ..MesaBridge::default() };
/// let options = Options { mesa: Some(mesa), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MesaBridge {
    /// The originals' namespace; default none.
    pub namespace: Option<String>,
    /// The project that is that namespace; default `default`.
    pub project: ProjectId,
    /// Whether original servers may be there and are told what is sent to users and to everyone; default
    /// false, since it costs a second publication each. Dispatchers need no telling.
    pub servers: bool,
    /// Whether it is written where originals look which users have a socket, and how many sockets there are;
    /// default true. Without it Dispatchers that have messages wait take everyone for away.
    pub stores_connected: bool,
}

impl Default for MesaBridge {
    fn default() -> Self {
        MesaBridge {
            namespace: None,
            project: ProjectId::new("default").expect("the name is neither empty nor long"),
            servers: false,
            stores_connected: true,
        }
    }
}

impl MesaBridge {
    /// The channel on which Dispatchers speak.
    pub fn channel(&self) -> String {
        format!("ws{}", self.suffix())
    }

    /// What stands behind every name.
    fn suffix(&self) -> String {
        self.namespace.as_ref().map(|namespace| format!("_{namespace}")).unwrap_or_default()
    }
}

/// This node's end of the bridge.
pub(super) struct BridgedMesa {
    bridge: MesaBridge,
    channels: [String; 1],
    node: NodeId,
}

impl BridgedMesa {
    pub(super) fn new(bridge: MesaBridge, node: NodeId) -> Self {
        let channels = [bridge.channel()];
        BridgedMesa { bridge, channels, node }
    }

    /// The hash of messages for users who were away.
    pub(super) fn undelivered(&self) -> String {
        format!("undelivered_messages{}", self.bridge.suffix())
    }
}

impl Bridged for BridgedMesa {
    fn project(&self) -> &ProjectId {
        &self.bridge.project
    }

    fn note(&self) -> Option<(&'static str, String)> {
        self.bridge.stores_connected.then(|| ("mesa", self.bridge.suffix()))
    }

    fn channels(&self) -> &[String] {
        &self.channels
    }

    fn heard(&self, _: &str, message: &Bytes) -> Result<Option<Publication>, NoMessage> {
        if messages::is_ours(message) {
            return Ok(None);
        }
        let heard = messages::decode(message)?;
        let project = self.bridge.project.clone();
        Ok(heard.map(|(audience, content)| Publication { project, audience, content }))
    }

    /// Originals know users and everyone, and of exceptions only whole users among several.
    fn telling(&self, publication: &Publication) -> Vec<Telling> {
        let Publication { audience, content, .. } = publication;
        if !self.bridge.servers || audience.except.contains(&Target::Everyone) {
            return Vec::new();
        }
        let recipients = match audience.to.contains(&Target::Everyone) {
            true => vec![messages::EVERYONE],
            false => users(audience),
        };
        if recipients.is_empty() {
            return Vec::new();
        }
        let message = match content {
            Content::Event { event, .. } | Content::Stored { event, .. } => {
                messages::encode(self.node, event, &recipients)
            }
            Content::Close { .. } => messages::encode_close(self.node, &recipients),
            _ => return Vec::new(),
        };
        let mut command = cmd("PUBLISH");
        command.arg(&self.channels[0]).arg(&message);
        vec![Telling { command, bytes: message.len() }]
    }
}

/// The users that hear it, each once. One whose id stands for everyone cannot be named.
fn users(audience: &Audience) -> Vec<&str> {
    let mut done: HashSet<&Target> = audience.except.iter().collect();
    let new = audience.to.iter().filter(|target| done.insert(*target));
    new.filter_map(|target| match target {
        Target::User(user) if &**user != messages::EVERYONE => Some(&**user),
        _ => None,
    })
    .collect()
}
