//! The id of one socket, new for every connection, and of the node that it is on.

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
    /// A new random id on a node of no interest.
    pub fn random() -> Self {
        SocketId::on(NodeId::random())
    }

    /// A new id of a socket on that node. Its first 32 bits are the node's, so that whoever has the
    /// id knows where to send; the other 90 are random, so that nobody guesses it.
    pub fn on(node: NodeId) -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[..4].copy_from_slice(&node.0.to_be_bytes());
        SocketId(Uuid::from_bytes(bytes))
    }

    /// The node it is on.
    pub fn node(&self) -> NodeId {
        let [a, b, c, d, ..] = *self.0.as_bytes();
        NodeId(u32::from_be_bytes([a, b, c, d]))
    }

    /// The id in 16 bytes, which sort as the ids do.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that [`as_bytes`](Self::as_bytes) gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        SocketId(Uuid::from_bytes(bytes))
    }

    /// Bits of the id that are spread evenly, for choosing a stripe without hashing.
    pub fn spread(&self) -> u64 {
        self.0.as_u64_pair().1
    }
}

/// A node among those that share their sockets: 32 random bits, new for every process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// A new id. Of 1,000 nodes, two are the same once in 8,600 times; whoever connects them makes
    /// sure that none is.
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

/// The text is not a socket id, so no socket can have it.
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
    fn an_id_tells_its_node_and_is_a_random_uuid_beside() {
        let node = NodeId(0x0123_abcd);
        let (one, other) = (SocketId::on(node), SocketId::on(node));
        assert_ne!(one, other);
        assert_eq!((one.node(), other.node()), (node, node));
        assert!(one.to_string().starts_with(&node.to_string()));
        assert_eq!(one.0.get_version_num(), 4);
        assert_eq!(one.to_string().parse::<SocketId>().unwrap(), one);
        assert_eq!(SocketId::from_bytes(*one.as_bytes()), one);
    }
}
