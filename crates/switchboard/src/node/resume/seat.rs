//! The seat of a session that moves to another node.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_event::{Payload, ShardName, SocketId};

/// A seat that a session had on another node, as it is sent to its new one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SentSeat {
    pub(crate) shard: String,
    /// The description of the session for other nodes.
    pub(crate) description: Payload,
}

/// A seat that passes to a new socket.
#[derive(Debug, Clone)]
pub(crate) struct MovedSeat {
    /// The socket that has it.
    pub(crate) previous: SocketId,
    pub(crate) shard: ShardName,
    pub(crate) description: Bytes,
}

impl SentSeat {
    /// `None` if the name is invalid.
    pub(crate) fn of_socket(&self, previous: SocketId) -> Option<MovedSeat> {
        let shard = ShardName::new(&self.shard).ok()?;
        let description = Bytes::copy_from_slice(self.description.as_bytes());
        Some(MovedSeat { previous, shard, description })
    }
}
