//! The id of one socket, new for every connection.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A socket's id: a random UUID (version 4), written as 36 lower-case characters with hyphens.
///
/// A client that reconnects gets a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketId(Uuid);

impl SocketId {
    /// A new random id; 122 bits, so ids of all nodes differ without talking to each other.
    pub fn random() -> Self {
        SocketId(Uuid::new_v4())
    }

    /// Bits of the id that are spread evenly, for choosing a stripe without hashing.
    pub fn spread(&self) -> u64 {
        self.0.as_u64_pair().1
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
pub struct NotASocketId;

impl FromStr for SocketId {
    type Err = NotASocketId;

    fn from_str(text: &str) -> Result<Self, NotASocketId> {
        Uuid::parse_str(text).map(SocketId).map_err(|_| NotASocketId)
    }
}
