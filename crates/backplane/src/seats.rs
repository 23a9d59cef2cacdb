//! Requests for a seat on a shard, and their outcome.

use bytes::Bytes;
use switchboard_event::{ShardName, SocketId};

/// What a socket wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatRequest {
    /// Who wants a seat.
    pub socket: SocketId,
    /// The shard it asks for by name; `None` means any automatic one.
    pub shard: Option<ShardName>,
    /// Seats that the shard may have, at least 1.
    pub capacity: u32,
    /// Whether a named shard that is full is answered with an automatic one. Otherwise it takes in
    /// everyone who asks for it by name.
    pub overflow: bool,
    /// Seats of all shards of the project together.
    pub project_max: Option<usize>,
    /// What the other nodes may know of the socket from when it sits, as by
    /// [`describe`](crate::Store::describe). With it, the socket counts as in
    /// [`Target::Everyone`](switchboard_event::Target::Everyone) and in the shard's room from then on:
    /// who asks brings it there as soon as it sits and describes it, or gives the seat back.
    pub description: Option<Bytes>,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seated {
    /// It sits in this shard.
    In(ShardName),
    /// The project has no seat left.
    Full,
}

/// A shard and how many sit in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name, without the `#` of its room.
    pub name: ShardName,
    /// Sockets in it.
    pub seated: usize,
}
