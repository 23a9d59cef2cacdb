//! The nodes and sockets that the contract tests use.

use std::sync::{Arc, Weak};

use switchboard_event::{Audience, Event, NodeId, ProjectId, SocketId, Target};

use crate::{Content, Publication, PublishError, Receiver, Store};

/// Receives the publications of other nodes that are not events. Must not block.
pub type PublicationListener = Box<dyn Fn(Publication) + Send + Sync>;

/// A node on the bus and the store under test.
pub trait TestNode {
    /// A socket of the node.
    type Socket: TestSocket;

    /// The id of the node.
    fn id(&self) -> NodeId;

    /// The store of the node.
    fn store(&self) -> &Arc<dyn Store>;

    /// The receiver of the node's publications, for an inbox.
    fn receiver(&self) -> Weak<dyn Receiver>;

    /// Connects a socket with this id.
    fn connect_as(&self, project: &ProjectId, id: SocketId) -> Self::Socket;

    /// Connects a socket with a new id.
    fn connect(&self, project: &ProjectId) -> Self::Socket {
        self.connect_as(project, SocketId::on(self.id()))
    }

    /// Disconnects a socket. Does nothing the second time.
    fn disconnect(&self, socket: &Self::Socket);

    /// Joins a socket to a target.
    ///
    /// # Panics
    ///
    /// If it is a member already.
    fn join(&self, socket: &Self::Socket, target: &Target);

    /// Removes a socket from a target.
    fn leave(&self, socket: &Self::Socket, target: &Target);

    /// Sends an event to the sockets of all nodes.
    fn send(&self, project: &ProjectId, audience: &Audience, event: Event);

    /// Sends an event to the sockets of this node only.
    fn send_locally(&self, project: &ProjectId, audience: &Audience, event: Event);

    /// Publishes to other nodes.
    fn publish(&self, project: &ProjectId, audience: &Audience, content: Content)
    -> Result<(), PublishError>;

    /// Sets the listener for publications that are not events. Called at most once.
    fn listen(&self, listener: PublicationListener);
}

/// A socket of a [`TestNode`].
pub trait TestSocket {
    /// Its id.
    fn id(&self) -> SocketId;

    /// The names of the events it has received, in order.
    fn received(&self) -> Vec<String>;
}
