//! The form of a dry run.

use serde::{Deserialize, Serialize};
use switchboard_event::{AudienceError, NodeId, Resource, Right, ShardName, SocketId, Target};

use crate::node::trace::record::Recipient;

/// Most waiting messages of an inbox that are counted.
pub(super) const WAITING_MAX: usize = 100;

/// A message that is not sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Planned {
    /// The recipients, as the text of a resource: `user:7`, `#lobby`, `tag:vip`, `shard:one`, `socket:ID` or `@everyone`.
    pub to: String,
    /// The event's name.
    pub event: String,
    /// The socket of the client that would send it; none if the server would.
    #[serde(default)]
    pub sender: Option<SocketId>,
    /// Describes the sockets of this user only, and says whether they are in the audience.
    #[serde(default)]
    pub user: Option<String>,
}

/// Whether a message would arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// At least one socket would receive it now.
    pub would_arrive: bool,
    /// The sockets of each node.
    pub nodes: Vec<NodeView>,
    /// Nodes that did not answer.
    pub unanswered: Vec<NodeId>,
    /// The same in sentences for people.
    pub sentences: Vec<String>,
}

/// What a node knows of a planned message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeView {
    /// The node, as in the ids of its sockets.
    pub node: String,
    /// Its sockets of the audience, at most 100.
    pub sockets: Vec<SocketView>,
    /// The number of all of them.
    pub total: usize,
    /// The client that would send it, if it is connected to this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<SenderView>,
}

/// A socket of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SocketView {
    /// The socket.
    #[serde(flatten)]
    pub recipient: Recipient,
    /// What would happen.
    pub prospect: Prospect,
}

/// What would happen at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prospect {
    /// It would receive the message.
    Receives,
    /// It would, but more than half of its outbox is full.
    Behind,
    /// It would, after older messages that are redelivered first.
    HeldBack,
    /// It is the sender, which a message excludes by default.
    Sender,
    /// The session has no connection.
    Detached {
        /// For how long it has had none, in ms.
        since_ms: u64,
    },
    /// The socket is closing.
    Closing,
    /// The protocol of the socket reserves the name of the event.
    Reserved,
    /// The socket belongs to the user of the question and is not in the audience.
    NotMember,
}

/// The client that would send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SenderView {
    /// It has the right to send to the recipients.
    pub may_send: bool,
}

impl Prospect {
    /// The socket would receive the message now.
    pub fn is_reached(self) -> bool {
        matches!(self, Prospect::Receives | Prospect::Behind | Prospect::HeldBack)
    }
}

impl Planned {
    /// A message to the recipients that a text such as `user:7` or `#lobby` names.
    pub fn new(to: &str, event: &str) -> Self {
        Planned { to: to.into(), event: event.into(), sender: None, user: None }
    }

    /// Sets the [`sender`](Self::sender).
    pub fn with_sender(self, sender: SocketId) -> Self {
        Planned { sender: Some(sender), ..self }
    }

    /// Sets the [`user`](Self::user).
    pub fn with_user(self, user: &str) -> Self {
        Planned { user: Some(user.into()), ..self }
    }

    /// The recipients.
    pub(crate) fn target(&self) -> Result<Target, AudienceError> {
        let to = &*self.to;
        let unknown = || AudienceError::NoSigil(to.chars().take(64).collect());
        if to.starts_with(['#', '*']) {
            return to.parse();
        }
        match to.split_once(':') {
            Some(("user", id)) => Ok(Target::user(id)?),
            Some(("room", name)) => Ok(Target::room(name)?),
            Some(("tag", name)) => Ok(Target::tag(name)?),
            Some(("shard", name)) => Ok(Target::shard(&ShardName::new(name)?)),
            Some(("socket", id)) => id.parse().map(Target::Socket).map_err(|_| unknown()),
            _ if to == "@everyone" || to == "everyone" => Ok(Target::Everyone),
            _ => Err(unknown()),
        }
    }
}

/// The right that a sender needs, in words.
pub(super) fn missing_right(target: &Target) -> String {
    format!("no {} right on {}", Right::Send, Resource::from(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_like_resources_of_rights() {
        let read = |to: &str| Planned::new(to, "e").target();
        for (to, target) in [
            ("user:7", Target::user("7")),
            ("user:a:b", Target::user("a:b")),
            ("#lobby", Target::room("lobby")),
            ("room:lobby", Target::room("lobby")),
            ("tag:vip", Target::tag("vip")),
            ("*vip", Target::tag("vip")),
            ("@everyone", Ok(Target::Everyone)),
        ] {
            assert_eq!(read(to), Ok(target.unwrap()), "{to}");
        }
        for to in ["", "7", "lobby", "user:", "socket:7", "team:7", "shard:"] {
            assert!(read(to).is_err(), "{to}");
        }
    }
}
