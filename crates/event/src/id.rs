//! Ids of sockets and nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A socket's id: a UUID (version 4), written as 36 lower-case characters with hyphens.
///
/// A client that reconnects gets a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketId(Uuid);

impl SocketId {
    /// A new id on a random node.
    pub fn random() -> Self {
        SocketId::on(NodeId::random())
    }

    /// A new id of a socket on that node. Its first 32 bits are the node's, so the id alone is enough to route
    /// to the socket. The other 90 are random, so ids cannot be guessed.
    pub fn on(node: NodeId) -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[..4].copy_from_slice(&node.0.to_be_bytes());
        SocketId(Uuid::from_bytes(bytes))
    }

    /// The node of the socket.
    pub fn node(&self) -> NodeId {
        let [a, b, c, d, ..] = *self.0.as_bytes();
        NodeId(u32::from_be_bytes([a, b, c, d]))
    }

    /// The id as 16 bytes; they sort like the ids.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id from its [bytes](Self::as_bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        SocketId(Uuid::from_bytes(bytes))
    }

    /// Bytes of the id's [text](Self::to_text).
    pub const TEXT_LEN: usize = 36;

    /// Writes the id as text, without an allocation.
    pub fn to_text<'a>(&self, buffer: &'a mut [u8; SocketId::TEXT_LEN]) -> &'a str {
        self.0.hyphenated().encode_lower(buffer)
    }

    /// Evenly distributed bits of the id, to choose a stripe without hashing.
    pub fn spread(&self) -> u64 {
        self.0.as_u64_pair().1
    }
}

/// The id of a node in a cluster: 32 random bits, new for every process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// A new id. Among 1,000 nodes a collision has a probability of 1 in 8,600; the backplane detects it.
    pub fn random() -> Self {
        SocketId(Uuid::new_v4()).node()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a socket id.
#[derive(Debug, thiserror::Error)]
#[error("not a socket id: 36 characters, hexadecimal with hyphens, are expected")]
pub struct SocketIdError;

impl FromStr for SocketId {
    type Err = SocketIdError;

    fn from_str(text: &str) -> Result<Self, SocketIdError> {
        Uuid::parse_str(text).map(SocketId).map_err(|_| SocketIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_id_contains_its_node_and_is_a_random_uuid() {
        let node = NodeId(0x0123_abcd);
        let (first, second) = (SocketId::on(node), SocketId::on(node));
        assert_ne!(first, second);
        assert_eq!((first.node(), second.node()), (node, node));
        assert!(first.to_string().starts_with(&node.to_string()));
        assert_eq!(first.0.get_version_num(), 4);
        assert_eq!(first.to_string().parse::<SocketId>().unwrap(), first);
        assert_eq!(SocketId::from_bytes(*first.as_bytes()), first);
    }
}
