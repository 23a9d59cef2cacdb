//! What clients do, reported to other processes.
//!
//! A process that takes reports is a portal. Those of a group share the work: each report is for one
//! of them, and all of one client for the same as long as it lives.

use switchboard_event::{Name, NodeId, Payload, ProjectId, Protocol, SocketId, Target, UserId};

use crate::bus::{Content, Publication};

/// What one client did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The project it is in.
    pub project: ProjectId,
    /// Which client.
    pub socket: SocketId,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whose it is, if that is known.
    pub user: Option<UserId>,
    /// When it happened, in milliseconds since 1970 by the node's clock.
    pub time_ms: u64,
    /// What it did.
    pub action: ClientAction,
}

/// What a client can do.
#[derive(Debug, Clone)]
pub enum ClientAction {
    /// It came.
    Connected,
    /// It showed whose it is.
    Authenticated,
    /// It said something that nothing on its node handles.
    Message(ClientMessage),
    /// It went.
    Disconnected {
        /// The close code; 1006 if it was cut.
        code: u16,
    },
}

/// What a client said.
#[derive(Debug, Clone)]
pub struct ClientMessage {
    /// The operation of a Mesa client; 0 for all others.
    pub op: i64,
    /// The event's name, or the type.
    pub kind: Option<Name>,
    /// The data.
    pub data: Payload,
    /// Where the answer goes, if the client waits for one.
    pub reply_to: Option<ReplyAddress>,
}

/// Where a node waits for the answer to a call: in a project that no socket is in, under an id of its
/// own that no socket has. So an answer finds its way as every event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyAddress {
    /// The project.
    pub project: ProjectId,
    /// The id.
    pub call: SocketId,
}

impl ReplyAddress {
    /// What brings an answer there.
    pub fn publication(&self, data: Payload) -> Publication {
        Publication {
            project: self.project.clone(),
            audience: Target::Socket(self.call).into(),
            content: Content::Answer(data),
        }
    }
}

/// Which report of which node this is. It is the same however often a portal gets the report, and
/// those of one node have numbers that grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportId {
    /// The node that reports.
    pub node: NodeId,
    /// Which of its reports.
    pub number: u64,
}

impl std::fmt::Display for ReportId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.node, self.number)
    }
}

/// A portal came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSinkChange {
    /// Of which project.
    pub project: ProjectId,
    /// Its id.
    pub worker: String,
    /// Its group; none for those of an original Mesa server.
    pub group: Option<Name>,
    /// Whether it came; otherwise it went, by itself or because it is dead.
    pub joined: bool,
}

/// Hears of portals that come and go. Must not wait.
pub type ReportSinkListener = Box<dyn Fn(ReportSinkChange) + Send + Sync>;

/// Brings reports to other processes.
pub trait ReportSink: Send + Sync + 'static {
    /// Called once, before anything else.
    fn start(&self, _on_change: ReportSinkListener) {}

    /// Whether there is anybody who takes reports of the project; with `answers`, who can answer one.
    fn accepts(&self, project: &ProjectId, answers: bool) -> bool;

    /// Queues a report and returns; drops it where nobody takes it. Reports of one client arrive in the
    /// order in which they were made. One that finds no room is lost, and counted.
    fn report(&self, report: Report);
}
