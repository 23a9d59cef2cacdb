//! Publications between nodes.
//!
//! A node subscribes to the targets that have local members and receives only their publications.
//! Publications of one node within a project keep their order at every other node.

use std::future::ready;
use std::sync::Weak;

use bytes::Bytes;
use switchboard_event::{
    Audience, Event, MessageNumber, NodeId, OverflowPolicy, Payload, Position, ProjectId, ShardName,
    SocketId, Target,
};

use crate::future::BoxFuture;

/// One message from a node to the nodes that are subscribed to its audience.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The project; never delivered in another.
    pub project: ProjectId,
    /// The nodes with a member of it receive the publication.
    pub audience: Audience,
    /// The content.
    pub content: Content,
}

/// The content of a publication.
#[derive(Debug, Clone)]
pub enum Content {
    /// An event for the sockets of the audience.
    Event {
        /// The event.
        event: Event,
        /// How it is delivered to a full outbox.
        policy: OverflowPolicy,
        /// Its place in the history of the room that is the audience.
        position: Option<Position>,
    },
    /// A message that is stored in the inbox of each user of the audience until a socket acknowledges it.
    Stored {
        /// Its number.
        number: MessageNumber,
        /// The event to deliver.
        event: Event,
    },
    /// Closes the sockets of the audience, each after the frames that are queued for it.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: Box<str>,
    },
    /// A message between nodes about the sockets of the audience. Opaque to the bus and the hub.
    Control(Bytes),
    /// The reply to a call; the audience is the id of the call.
    Answer(Payload),
    /// The members of this shard or their descriptions changed.
    ShardChanged(ShardName),
}

/// Why a publication did not reach other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The bound on queued publications is reached.
    #[error("the bus is full; other nodes did not get this")]
    Full,
    /// The node is disconnected from the other nodes.
    #[error("the bus is disconnected; other nodes did not get this")]
    Disconnected,
}

/// The action of the bus when no other node receives a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUnreached {
    /// Nothing: a socket of its own node has received it, or a loss does not matter.
    Ignore,
    /// Calls [`Receiver::unreached`], as far as it can know.
    Notify,
}

/// Receives the number of other nodes that a publication reaches; `None` if it is unknown.
pub type OnCounted = Box<dyn FnOnce(Option<usize>) + Send>;

/// The end of the bus on a node. The hub implements it.
pub trait Receiver: Send + Sync {
    /// Takes one publication. Called in publication order; must not block.
    fn receive(&self, publication: Publication);

    /// A publication of this node with [`IfUnreached::Notify`] reached no other node either.
    fn unreached(&self);

    /// The history has published an event of this node that it had [queued](crate::AppendOutcome::Queued), or has given it up.
    fn recorded(&self, event: &Event) {
        let _ = event;
    }

    /// Publications of other nodes may have been lost until now.
    fn missed(&self);

    /// Returns true if the socket is connected to this node.
    fn has(&self, socket: SocketId) -> bool;
}

/// Carries publications between nodes. Every implementation passes the same contract tests.
pub trait Bus: Send + Sync + 'static {
    /// The id of this node. The ids of its sockets contain it.
    fn node(&self) -> NodeId;

    /// Called once, before any other method. The bus must not keep the receiver alive.
    fn start(&self, receiver: Weak<dyn Receiver>);

    /// Queues a publication for every other node that is subscribed to a target of the audience; each gets it
    /// once. [`Target::Socket`] reaches the node of the socket, if that node is subscribed to
    /// [`Target::Everyone`] of the project. Does not block; an error means that the publication was dropped.
    fn publish(&self, publication: &Publication, if_unreached: IfUnreached) -> Result<(), PublishError>;

    /// Publishes like [`publish`](Self::publish), and passes on how many other nodes receive the publication, now or later
    /// and from any thread. Subscribers that are not nodes may be counted too. Not called if this returns an error.
    fn publish_counted(&self, publication: &Publication, on_counted: OnCounted) -> Result<(), PublishError> {
        self.publish(publication, IfUnreached::Ignore)?;
        on_counted(None);
        Ok(())
    }

    /// Subscribes this node to a target. [`Target::Everyone`] includes the node's own sockets of the project.
    /// Must not block.
    fn subscribe(&self, project: &ProjectId, target: &Target);

    /// Ends a subscription. Calls for one target arrive in the order of the membership changes.
    fn unsubscribe(&self, project: &ProjectId, target: &Target);

    /// Resolves once every subscription made so far is in effect on all nodes. Resolves at once while the bus
    /// is disconnected, because nothing can arrive then.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Resolves to true once every publication to a target that was made before the call was passed to the receiver. Resolves to
    /// false if this is not certain, for instance without a connection.
    fn caught_up<'a>(&'a self, _project: &'a ProjectId, _target: &'a Target) -> BoxFuture<'a, bool> {
        Box::pin(ready(false))
    }

    /// Returns false if there can be no other node.
    fn is_shared(&self) -> bool {
        true
    }

    /// Returns true while the node is connected to the other nodes.
    fn is_up(&self) -> bool {
        true
    }

    /// Returns true while publications are lost or late: while the bus is not up or publications wait for long, and
    /// for a while after some were lost.
    fn is_degraded(&self) -> bool {
        !self.is_up()
    }
}
