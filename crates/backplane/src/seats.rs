//! Requests for a seat on a shard, and their outcome.

use bytes::Bytes;
use switchboard_event::{ShardName, SocketId};

/// A socket's request for a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatRequest {
    /// The socket.
    pub socket: SocketId,
    /// The requested shard; `None` for any automatic one.
    pub shard: Option<ShardName>,
    /// The most seats of the shard that the socket accepts, at least 1.
    pub capacity: u32,
    /// If true, a full named shard is replaced by an automatic one. If false, a named shard has no bound.
    pub overflow: bool,
    /// The most seats over all shards of the project.
    pub project_max: Option<usize>,
    /// A socket whose client continues as this one: its seat passes to this socket, on the same shard and within no bound, if
    /// it has one. Only together with a description.
    pub previous: Option<SocketId>,
    /// The socket's description for other nodes, as in [`describe`](crate::Store::describe). With it, taking
    /// the seat also records presence: the socket counts as a member of
    /// [`Target::Everyone`](switchboard_event::Target::Everyone) and of the shard's room at once. The caller
    /// must then join and describe the socket, or give the seat back.
    pub description: Option<Bytes>,
}

/// The outcome of a seat request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seated {
    /// The socket has a seat on this shard.
    In(ShardName),
    /// The project has no free seat.
    Full,
}

/// A shard and its occupancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name, without the `#` of its room.
    pub name: ShardName,
    /// Sockets with a seat.
    pub seated: usize,
}
