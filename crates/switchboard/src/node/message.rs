//! Messages between nodes: JSON in a control publication.

use serde::{Deserialize, Serialize};
use switchboard_event::{NameError, SocketId, Target};
use switchboard_hub::JoinError;

use crate::node::errors::RequestError;

/// One message. `D` holds data: owned to be written, borrowed to be read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message<D> {
    /// A call about the socket that is the audience; its outcome is sent back.
    Call {
        answer_to: ReturnAddress,
        #[serde(rename = "wish")]
        call: RemoteCall<D>,
    },
    /// The refusal of the call whose id is the audience. The answer to a call that was carried out is
    /// a [`Content::Answer`](switchboard_backplane::Content::Answer).
    Refused(Refusal),
    /// A command about all sockets of the audience.
    #[serde(rename = "Order")]
    Command(Command),
}

/// Where the answer to a call goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReturnAddress {
    /// The calling node's own project, in which there is no socket.
    pub(crate) project: String,
    /// An id of the calling node that no socket has.
    pub(crate) call: SocketId,
}

/// A call of one node to another, about a socket of that node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RemoteCall<D> {
    /// Send its client a request; the answer is the client's reply.
    #[serde(rename = "Ask")]
    Request { event: String, data: D, timeout_ms: u64 },
    /// Add it to a room, tag or user; the answer is false if it was a member.
    Join(Membership),
    /// Remove it from one; the answer is false if it was no member.
    Leave(Membership),
}

/// A one-way instruction to all nodes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Remove every socket from the targets of the audience.
    Clear,
}

/// Why a call was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    #[serde(rename = "Gone")]
    Closed,
    Timeout,
    CannotReply,
    TooMany {
        max: usize,
    },
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::TooMany { max } => Refusal::TooMany { max },
            _ => Refusal::Closed,
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout(_) => Refusal::Timeout,
            RequestError::TooMany { max } => Refusal::TooMany { max },
            RequestError::CannotReply => Refusal::CannotReply,
            _ => Refusal::Closed,
        }
    }
}

/// A target that a socket can join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Membership {
    User(String),
    Room(String),
    Tag(String),
}

impl Membership {
    /// `None` for targets that nothing can join.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::User(id) => Some(Membership::User(id.to_string())),
            Target::Room(name) => Some(Membership::Room(name.to_string())),
            Target::Tag(name) => Some(Membership::Tag(name.to_string())),
            Target::Everyone | Target::Socket(_) => None,
        }
    }

    pub(crate) fn target(&self) -> Result<Target, NameError> {
        match self {
            Membership::User(id) => Target::user(id),
            Membership::Room(name) => Target::room(name),
            Membership::Tag(name) => Target::tag(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::ShardName;

    use super::*;

    #[test]
    fn a_membership_is_read_as_it_was_written() {
        let shard = Target::shard(&ShardName::new("#s").unwrap());
        for target in [shard, Target::tag("**t").unwrap(), Target::user("*7").unwrap()] {
            let text = serde_json::to_vec(&Membership::of(&target)).unwrap();
            let membership: Option<Membership> = serde_json::from_slice(&text).unwrap();
            assert_eq!(membership.unwrap().target().unwrap(), target);
        }
        assert_eq!(Membership::of(&Target::Everyone), None);
        assert!(Membership::User("x".repeat(257)).target().is_err(), "names are bounded here as well");
    }
}
