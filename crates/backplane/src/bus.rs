//! What carries sends from one node to the others.
//!
//! A node says which targets its sockets care for, and hears only of those. The order of one
//! node's publications holds at every other.

use std::future::ready;
use std::sync::Weak;

use bytes::Bytes;
use switchboard_event::{
    Audience, DeliveryClass, Event, MessageNumber, NodeId, Payload, ProjectId, ShardName, SocketId, Target,
};

use crate::future::BoxFuture;

/// What one node has for those that care.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The project it stays in.
    pub project: ProjectId,
    /// Whose nodes get it.
    pub audience: Audience,
    /// What they get.
    pub content: Content,
}

/// What a publication holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// An event for the sockets of the audience.
    Event {
        /// What they hear.
        event: Event,
        /// What may happen to it on the way.
        class: DeliveryClass,
    },
    /// A message that waits for the users of the audience until one of their sockets surely has it.
    Stored {
        /// Which one.
        number: MessageNumber,
        /// What they hear.
        event: Event,
    },
    /// Closes the sockets of the audience, each behind what is queued for it.
    Close {
        /// The close code.
        code: u16,
        /// The reason.
        reason: Box<str>,
    },
    /// Something that nodes say to each other about the sockets of the audience. The bus and the hub
    /// do not look into it.
    Control(Bytes),
    /// What was asked for by the call whose id the audience is.
    Answer(Payload),
    /// Who is on this shard, or what is known of them, is no longer what it was.
    ShardChanged(ShardName),
}

/// Why other nodes did not get a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// As much waits to be published as may.
    #[error("the bus is full; other nodes did not get this")]
    Full,
    /// There is no connection to the other nodes.
    #[error("the bus is away; other nodes did not get this")]
    Disconnected,
}

/// Where publications of other nodes arrive.
pub trait Receiver: Send + Sync {
    /// Called in the order they were published; must not wait.
    fn receive(&self, publication: Publication);

    /// Publications of others may have been lost until now.
    fn missed(&self);

    /// Whether a socket is on this node.
    fn has(&self, socket: SocketId) -> bool;
}

/// Carries publications between nodes. Every implementation passes the same contract tests.
pub trait Bus: Send + Sync + 'static {
    /// This node's id, by which the ids of its sockets are found to be its own.
    fn node(&self) -> NodeId;

    /// Called once, before anything else. The bus holds no node alive.
    fn start(&self, receiver: Weak<dyn Receiver>);

    /// Sends to every other node that cares for a target of the audience, once. For a socket that is its
    /// node, while that cares for everyone of the project. Queues and returns; what it cannot queue it
    /// drops, and says so.
    fn publish(&self, publication: &Publication) -> Result<(), PublishError>;

    /// From now on this node cares for a target; for [`Target::Everyone`], for its own sockets of
    /// the project as well. Must not wait.
    fn subscribe(&self, project: &ProjectId, target: &Target);

    /// From now on it does not. Calls for one target come in the order things happened.
    fn unsubscribe(&self, project: &ProjectId, target: &Target);

    /// When everything this node cares for now reaches it, from whatever node. Comes at once while
    /// there is no connection: nothing can reach it.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Whether there is a connection to the other nodes.
    fn is_up(&self) -> bool {
        true
    }
}
