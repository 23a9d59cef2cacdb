//! Messages between nodes, sent as JSON in a control publication.

use serde::{Deserialize, Serialize};
use switchboard_event::{NameError, SocketId, Target, TraceId};
use switchboard_hub::JoinError;

use crate::node::dry_run::view::Planned;
use crate::node::errors::RequestError;

/// A message. `D` is the type of event data: a payload when encoding, raw JSON when decoding.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum NodeMessage<D> {
    /// A call to the node of the socket that is the audience. The node returns the outcome.
    Call { answer_to: AnswerAddress, call: RemoteCall<D> },
    /// A query of the nodes in `answer_to`, each with the id of its call, in the reply project of the querying node. The
    /// audience is every node.
    Query { project: String, answer_to: Vec<(u32, SocketId)>, name: String, data: D },
    /// The call whose id is the audience was refused. A successful call is answered with
    /// [`Content::Answer`](switchboard_backplane::Content::Answer).
    Refused(Refusal),
    /// A command for all sockets of the audience.
    Command(Command),
    /// A question to every node. Each answers with [`Content::Answer`](switchboard_backplane::Content::Answer).
    Question { answer_to: AnswerAddress, question: Question },
    /// Follows events of a socket of the sending node. A node answers with [`NodeMessage::CaughtUp`] once its receivers of
    /// these events have caught up.
    Mark { sender: SocketId, number: u64 },
    /// The answer to a mark, to the node of its sender.
    CaughtUp { sender: SocketId, number: u64 },
}

/// The address to which the answer to a call is published: a [`ReplyAddress`](switchboard_backplane::ReplyAddress) as
/// text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AnswerAddress {
    /// The reply project of the calling node, which has no sockets.
    pub(crate) project: String,
    /// The id of the call. It begins with the id of the calling node, like that of a socket.
    pub(crate) call: SocketId,
}

/// A call to the node that holds a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RemoteCall<D> {
    /// Sends a request to the client. The answer is the client's reply.
    Request { event: String, data: D, timeout_ms: u64 },
    /// Adds the socket to a room, tag or user. The answer is false if it was a member.
    Join(Membership),
    /// Removes the socket from a room, tag or user. The answer is false if it was not a member.
    Leave(Membership),
    /// Returns the details of sockets of the node.
    Describe { sockets: Vec<SocketId> },
    /// Hands the session of a ticket over to the calling node. `user` is the user of the token that the client has sent to that
    /// node, `protocol` the place of its protocol.
    HandOver { ticket: String, user: Option<String>, protocol: usize },
}

/// A question to every node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    /// The steps of a message. The answer is null if the node has recorded none.
    Trace { project: String, trace: TraceId },
    /// Whether a message would arrive. The answer is null if a name is invalid on that node.
    Explain { project: String, planned: Planned },
    /// The last traced messages.
    RecentTraces { project: String, limit: usize },
}

/// A one-way instruction to all nodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Removes every socket from the targets of the audience.
    RemoveMembers,
    /// Revokes tokens. The audience is every node.
    Revoke(Vec<RevokedMessage>),
    /// Adds the sockets of the audience to a room, tag or user.
    Join(Membership),
    /// Removes the sockets of the audience from a room, tag or user.
    Leave(Membership),
}

/// A revocation: its key, the time before which its tokens were issued, and its end, in ms since 1970.
pub(crate) type RevokedMessage = (String, u64, u64);

/// Why a call was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Closed,
    Timeout,
    CannotReply,
    TooMany { max: usize },
    TooManyBytes { max: usize },
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::TooMany { max } => Refusal::TooMany { max },
            JoinError::TooManyBytes { max } => Refusal::TooManyBytes { max },
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
    /// `None` if sockets cannot join the target.
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
    fn an_encoded_membership_decodes_to_the_same() {
        let shard = Target::shard(&ShardName::new("#s").unwrap());
        for target in [shard, Target::tag("**t").unwrap(), Target::user("*7").unwrap()] {
            let text = serde_json::to_vec(&Membership::of(&target)).unwrap();
            let membership: Option<Membership> = serde_json::from_slice(&text).unwrap();
            assert_eq!(membership.unwrap().target().unwrap(), target);
        }
        assert_eq!(Membership::of(&Target::Everyone), None);
        assert!(
            Membership::User("x".repeat(257)).target().is_err(),
            "names are limited in messages of nodes as well"
        );
    }
}
