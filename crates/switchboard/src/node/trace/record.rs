//! The form of a trace, as nodes exchange it and as the HTTP API returns it.

use serde::{Deserialize, Serialize};
use switchboard_event::{NodeId, SocketId, TraceId};

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The id of the trace.
    pub id: TraceId,
    /// The nodes that have recorded the message; the sending one first, then in ascending order.
    pub nodes: Vec<NodeTrace>,
    /// Nodes that know nothing of the message.
    pub without_record: Vec<NodeId>,
    /// Nodes that did not answer.
    pub unanswered: Vec<NodeId>,
}

/// The last traced messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentTraces {
    /// The messages, the newest first.
    pub traces: Vec<RecentTrace>,
    /// Nodes that did not answer.
    pub unanswered: Vec<NodeId>,
}

/// A traced message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecentTrace {
    /// The id of the trace.
    pub id: TraceId,
    /// The node that has sent it, or one that has received it.
    pub node: String,
    /// When, in microseconds since 1970 by the clock of that node.
    pub at_us: u64,
    /// The node has sent it.
    pub is_sender: bool,
    /// The message.
    pub message: Described,
}

/// What one node has recorded of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeTrace {
    /// The node, as in the ids of its sockets.
    pub node: String,
    /// The steps, in the order in which they were recorded.
    pub steps: Vec<TimedStep>,
    /// Steps that were not recorded, because there were too many.
    pub left_out: u64,
}

/// A step with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimedStep {
    /// When it happened, in microseconds since 1970 by the clock of the node.
    pub at_us: u64,
    /// The step.
    #[serde(flatten)]
    pub step: TraceStep,
}

/// A step of a message at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TraceStep {
    /// The node sends it.
    Sent(Described),
    /// Another node, a dispatcher or a history has sent it to this node.
    Received(Described),
    /// Its sender lacks a right, so nothing was sent.
    Refused {
        /// The message.
        #[serde(flatten)]
        message: Described,
        /// The right.
        right: String,
        /// What the right is needed for.
        resource: String,
    },
    /// Whether the history of its room keeps it.
    History {
        /// `kept`, `queued` if it is numbered before it is delivered, or `unavailable`.
        outcome: String,
    },
    /// It has a place in the history of its room.
    Numbered {
        /// The room.
        room: String,
        /// The number.
        offset: u64,
    },
    /// A member of the audience that the message excludes.
    Excluded(Recipient),
    /// What happened at a socket of the audience.
    Receiver {
        /// The socket.
        #[serde(flatten)]
        recipient: Recipient,
        /// The outcome.
        outcome: Outcome,
    },
    /// The audience was resolved to the sockets of the node.
    Resolved(Totals),
    /// The kernel has accepted the frame for a socket.
    Written {
        /// The socket.
        socket: SocketId,
    },
    /// The frame for a socket left its outbox without being sent.
    Unsent {
        /// The socket.
        socket: SocketId,
        /// `replaced` by a newer one with its key, `dropped` for others, `redelivered` in another frame, or `disconnected`.
        reason: String,
    },
    /// It was published to other nodes.
    Published {
        /// The number of nodes that have received it, if it is known.
        nodes: Option<usize>,
    },
    /// It was not published to other nodes.
    NotPublished {
        /// The reason.
        reason: String,
    },
    /// It is stored in inboxes.
    Stored {
        /// The number of inboxes.
        inboxes: usize,
    },
    /// It may not be stored.
    NotStored {
        /// The reason.
        reason: String,
    },
    /// A stored message was sent to a socket of its user, now or at a login.
    FromInbox {
        /// The socket.
        #[serde(flatten)]
        recipient: Recipient,
        /// The number of the message.
        number: u64,
        /// It was stored before the socket logged in.
        is_redelivery: bool,
    },
    /// The client has acknowledged a stored message by a pong.
    Acknowledged {
        /// The socket.
        socket: SocketId,
        /// The user whose inbox had the message.
        user: String,
        /// The number of the message.
        number: u64,
    },
}

/// A message, as its trace describes it. The data is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Described {
    /// The event's name.
    pub event: String,
    /// The bytes of its data.
    pub bytes: usize,
    /// The socket that sent it; none if the application did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<SocketId>,
    /// The targets, at most 32.
    pub to: Vec<String>,
    /// The excluded targets, at most 32.
    pub except: Vec<String>,
}

/// A socket of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recipient {
    /// The socket.
    pub socket: SocketId,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its protocol.
    pub protocol: String,
}

/// What happened at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is queued.
    Queued,
    /// It is queued, and more than half of the outbox is full.
    Behind,
    /// It is queued behind older messages that are redelivered first.
    HeldBack,
    /// It is queued in the place of an older one with its key.
    Replaced,
    /// The socket missed it by its overflow policy, because the outbox was full.
    Dropped,
    /// The outbox was full; the socket gets it from the history of the room.
    Lagging,
    /// The outbox was full; the socket was closed with 1013.
    Overflowed,
    /// The session has no connection at the moment.
    Detached {
        /// For how long it has had none, in ms.
        since_ms: u64,
    },
    /// The socket is closing.
    Closing,
    /// The protocol of the socket reserves the name of the event.
    Reserved,
}

/// How many sockets of a node the audience had, by outcome. Includes those without a step of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants of `Outcome` describe them")]
#[non_exhaustive]
pub struct Totals {
    pub queued: usize,
    pub behind: usize,
    pub replaced: usize,
    pub dropped: usize,
    pub lagging: usize,
    pub overflowed: usize,
    pub closed: usize,
    pub reserved: usize,
    pub excluded: usize,
}

impl TraceStep {
    /// The bytes of its text, approximately.
    pub(super) fn bytes(&self) -> usize {
        let names =
            |names: &[String]| names.iter().map(|name| size_of::<String>() + name.len()).sum::<usize>();
        let described =
            |message: &Described| message.event.len() + names(&message.to) + names(&message.except);
        let recipient =
            |recipient: &Recipient| recipient.protocol.len() + recipient.user.as_ref().map_or(0, String::len);
        size_of::<TimedStep>()
            + match self {
                TraceStep::Sent(message) | TraceStep::Received(message) => described(message),
                TraceStep::Refused { message, right, resource } => {
                    described(message) + right.len() + resource.len()
                }
                TraceStep::Excluded(of)
                | TraceStep::Receiver { recipient: of, .. }
                | TraceStep::FromInbox { recipient: of, .. } => recipient(of),
                TraceStep::History { outcome: text }
                | TraceStep::Numbered { room: text, .. }
                | TraceStep::Unsent { reason: text, .. }
                | TraceStep::NotPublished { reason: text }
                | TraceStep::NotStored { reason: text }
                | TraceStep::Acknowledged { user: text, .. } => text.len(),
                TraceStep::Resolved(_)
                | TraceStep::Written { .. }
                | TraceStep::Published { .. }
                | TraceStep::Stored { .. } => 0,
            }
    }

    /// The message, if the step describes it.
    pub fn message(&self) -> Option<&Described> {
        match self {
            TraceStep::Sent(message) | TraceStep::Received(message) | TraceStep::Refused { message, .. } => {
                Some(message)
            }
            _ => None,
        }
    }
}

impl Trace {
    /// The message; none if no node has recorded it, or all have forgotten its beginning.
    pub fn message(&self) -> Option<&Described> {
        self.nodes.iter().flat_map(|node| &node.steps).find_map(|step| step.step.message())
    }
}
