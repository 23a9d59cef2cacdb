//! The bridge to original Mesa servers, Dispatchers and Portals: a Switchboard project and their namespace act as
//! one.
//!
//! With the namespace `api`; without one, the names have no suffix:
//!
//! | name | type | content |
//! |---|---|---|
//! | `ws_api` | channel | `{"message":{"op","d","t"},"recipients"}`; recipients are users, or `*` for everyone. Dispatchers of Switchboard add `excluding`, the users that `*` leaves out |
//! | `connected_clients_api` | set | users with a socket |
//! | `connected_clients_count_api` | number | connections |
//! | `undelivered_messages_api` | hash | user to a JSON array of stored messages |
//!
//! Every Switchboard node subscribes to the channel and delivers its messages to its own sockets. Messages of
//! Switchboard nodes on it have a first member of their own, which original
//! servers ignore.

mod dispatch;
mod dispatch_script;
mod messages;
mod namespace;
mod portals;
mod stored;
mod undelivered;

use std::collections::HashSet;

use bytes::Bytes;
use redis::cmd;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Audience, NodeId, ProjectId, Target};

use super::servers::{LegacyDecodeError, LegacyServers};
use crate::bus::BridgeCommand;
use crate::options::MesaBridge;

pub use dispatch::LegacyMessage;
pub(crate) use dispatch_script::DISPATCH;
use namespace::suffixed;
pub(super) use portals::MesaPortals;
pub(super) use stored::StoredByDispatchers;

impl MesaBridge {
    /// The channel on which original servers and Dispatchers publish.
    pub fn channel(&self) -> String {
        suffixed("ws", self.namespace.as_deref())
    }
}

/// This node's end of the bridge.
pub(super) struct MesaServers {
    bridge: MesaBridge,
    channels: [String; 1],
    node: NodeId,
}

impl MesaServers {
    pub(super) fn new(bridge: MesaBridge, node: NodeId) -> Self {
        let channels = [bridge.channel()];
        MesaServers { bridge, channels, node }
    }
}

impl LegacyServers for MesaServers {
    fn project(&self) -> &ProjectId {
        &self.bridge.project
    }

    fn copies(&self) -> Option<(&'static str, String)> {
        self.bridge.stores_connected_users.then(|| ("mesa", suffixed("", self.bridge.namespace.as_deref())))
    }

    fn channels(&self) -> &[String] {
        &self.channels
    }

    fn decode(&self, _: &str, message: &Bytes) -> Result<Option<Publication>, LegacyDecodeError> {
        if messages::is_ours(message) {
            return Ok(None);
        }
        let decoded = messages::decode(message)?;
        let project = self.bridge.project.clone();
        Ok(decoded.map(|(audience, content)| Publication { project, audience, content }))
    }

    /// The format of original servers has users and everyone as recipients, and no exclusions. An excluded user is left
    /// out of the recipients.
    fn encode(&self, publication: &Publication) -> Vec<BridgeCommand> {
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
            Content::Close { .. } => Some(messages::encode_close(self.node, &recipients)),
            _ => None,
        };
        let Some(message) = message else { return Vec::new() };
        let mut command = cmd("PUBLISH");
        command.arg(&self.channels[0]).arg(&message);
        vec![BridgeCommand { command, bytes: message.len(), work: 1 }]
    }
}

/// The users of an audience, each once. A user whose id is the wildcard cannot be addressed.
fn users(audience: &Audience) -> Vec<&str> {
    let mut done: HashSet<&Target> = audience.except.iter().collect();
    let new = audience.to.iter().filter(|target| done.insert(*target));
    new.filter_map(|target| match target {
        Target::User(user) if &**user != messages::EVERYONE => Some(&**user),
        _ => None,
    })
    .collect()
}
