//! The events that a hub reports to its owner.

use std::sync::Arc;

use switchboard_backplane::Publication;
use switchboard_event::{ProjectId, RoomName, SocketId};

use crate::session::Session;

/// An arrival from other nodes that the hub does not deliver itself, or receivers that are behind or have lost messages.
#[derive(Debug)]
pub enum HubEvent {
    /// An event of this socket, of any node, was delivered to receivers of this node that are behind.
    Behind {
        /// The sender.
        sender: SocketId,
        /// The receivers of which more than half of the outbox is full.
        receivers: Vec<Arc<Session>>,
    },
    /// A full outbox has lost messages, or its receiver lags in rooms with a history. Not notified again until
    /// [`Outbox::finish_overflow`](crate::Outbox::finish_overflow) returns true.
    Overflowed(Arc<Session>),
    /// A live event of this socket, which is connected to this node, was passed to other nodes.
    Passed {
        /// The sender.
        sender: SocketId,
        /// The size of its name and data.
        bytes: usize,
        /// How far it is on its way.
        stage: Stage,
    },
    /// A publication with another content than [`Content::Event`](switchboard_backplane::Content::Event).
    Publication(Publication),
    /// A room has its first member on this node, and its history may lose publications.
    RoomBegins {
        /// The project of the room.
        project: ProjectId,
        /// The room.
        room: RoomName,
        /// For [`Hub::begin_room`](crate::Hub::begin_room).
        number: u64,
    },
    /// Messages of a room were lost on their way from its history. The room is paused until it is
    /// [filled](crate::Hub::fill_room).
    Hole {
        /// The project of the room.
        project: ProjectId,
        /// The room.
        room: RoomName,
    },
    /// Publications may have been lost.
    Missed,
}

/// How far an event is on its way to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is in the order of this node's publications.
    Published,
    /// It waits for its number in the history of its room, and is not published yet.
    Queued,
    /// It was queued, and the history has published it.
    Recorded,
}

/// Receives hub events in the order of their arrival. Must not block.
pub type Listener = Box<dyn Fn(HubEvent) + Send + Sync>;
