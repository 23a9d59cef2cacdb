//! Reports of client actions to worker processes and webhooks.
//!
//! Workers form groups. Each report goes to one worker of every group, and all reports of one client go to the
//! same worker as long as it runs.

use std::fmt;

use switchboard_event::{Name, NodeId, Payload, ProjectId, Protocol, RoomName, SocketId, Target, UserId};

use crate::bus::{Content, Publication};

/// One action of one client, or a consequence of such actions that only webhooks receive.
#[derive(Debug, Clone)]
pub struct Report {
    /// The project of the client.
    pub project: ProjectId,
    /// The client's socket. Reports of one socket keep their order. A report about a room, a user or a node has the id of
    /// no socket.
    pub socket: SocketId,
    /// The client's protocol; `None` in a report about a room, a user or a node, and in that of a crashed node's client.
    pub protocol: Option<Protocol>,
    /// The client's user, if it has authenticated.
    pub user: Option<UserId>,
    /// When it happened, in milliseconds since 1970 by the node's clock.
    pub time_ms: u64,
    /// The action.
    pub action: ClientAction,
}

/// An action of a client that is reported. Workers receive the first four.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientAction {
    /// It connected.
    Connected,
    /// It authenticated as a user.
    Authenticated,
    /// It sent a message that no handler of its node takes.
    Message(ClientMessage),
    /// It disconnected.
    Disconnected {
        /// The close code; 1006 if the connection was cut or its node has crashed.
        code: u16,
    },
    /// Its session, whose node was killed, goes on as this socket.
    Resumed {
        /// The socket of the session on its node. No disconnect of it is reported.
        previous: SocketId,
    },
    /// It joined a room.
    Joined(RoomName),
    /// It left a room, also because it disconnected.
    Left(RoomName),
    /// A room got its first member on any node.
    Occupied(RoomName),
    /// A room has been without members on all nodes for the configured time.
    Vacated(RoomName),
    /// The server sent an event to a user without a connected socket.
    Undeliverable {
        /// The event's name.
        event: Name,
        /// The data.
        data: Payload,
    },
    /// The node of the report's socket id has closed its clients, because it stops.
    Drained,
}

impl ClientAction {
    /// Bytes of the names and data in the action.
    pub fn bytes(&self) -> usize {
        match self {
            ClientAction::Message(ClientMessage { kind, data, .. }) => {
                data.as_bytes().len() + kind.as_ref().map_or(0, |kind| kind.len())
            }
            ClientAction::Undeliverable { event, data } => event.len() + data.as_bytes().len(),
            ClientAction::Joined(room)
            | ClientAction::Left(room)
            | ClientAction::Occupied(room)
            | ClientAction::Vacated(room) => room.len(),
            ClientAction::Connected
            | ClientAction::Authenticated
            | ClientAction::Disconnected { .. }
            | ClientAction::Resumed { .. }
            | ClientAction::Drained => 0,
        }
    }
}

/// A message of a client.
#[derive(Debug, Clone)]
pub struct ClientMessage {
    /// The operation of a Mesa message; 0 for the other protocols.
    pub op: i64,
    /// The event's name, or the type of a Mesa message.
    pub kind: Option<Name>,
    /// The data.
    pub data: Payload,
    /// The address for the reply, if the client expects one.
    pub reply_to: Option<ReplyAddress>,
}

/// The address at which a node awaits the reply to a call: an id that belongs to no socket, in a project
/// without sockets. A reply is thus routed like any event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyAddress {
    /// The project.
    pub project: ProjectId,
    /// The id of the call.
    pub call: SocketId,
}

impl ReplyAddress {
    /// The publication that carries a reply to this address.
    pub fn publication(&self, data: Payload) -> Publication {
        Publication {
            project: self.project.clone(),
            audience: Target::Socket(self.call).into(),
            content: Content::Answer(data),
        }
    }
}

/// Identifies a report. A redelivered report keeps its id, and the numbers of one node increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportId {
    /// The reporting node.
    pub node: NodeId,
    /// The number of the report on that node.
    pub number: u64,
}

impl fmt::Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.number)
    }
}

/// A worker joined or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerChange {
    /// The project that it serves.
    pub project: ProjectId,
    /// The id of the worker.
    pub worker: String,
    /// Its group; none for a Portal of an original Mesa server.
    pub group: Option<Name>,
    /// True if it joined; false if it left or its lease expired.
    pub joined: bool,
}

/// Receives changes of the workers. Must not block.
pub type WorkerListener = Box<dyn Fn(WorkerChange) + Send + Sync>;

/// Passes reports to workers.
pub trait ReportSink: Send + Sync + 'static {
    /// Called once, before any other method.
    fn start(&self, _listener: WorkerListener) {}

    /// Returns true if a worker takes reports of the project; with `needs_reply`, if one can also reply.
    fn accepts(&self, project: &ProjectId, needs_reply: bool) -> bool;

    /// Queues a report and returns. Without a worker it is dropped. Reports of one client arrive in order; a
    /// report that finds the queue full is dropped and counted.
    fn report(&self, report: Report);
}
