//! The protocols the generator can speak.

use anyhow::{Result, bail};

use crate::walk::Part;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// emit: `{"event":…,"data":…,"ackId":…}`.
    Emit,
    /// Socket.IO over Engine.IO 4, WebSocket only.
    SocketIo,
    /// Koji Dispatch: `{"eventName":…,"payload":…}`, relayed to a shard.
    Koji,
    /// Mesa: `{"op":0,"d":…,"t":…}`, dispatched to a user.
    Mesa,
}

/// Clients on one automatic shard.
pub(crate) const SHARD_SEATS: usize = 100;

impl Protocol {
    /// The path of the handshake. Koji's names the room, its shard; other protocols join it later.
    pub(crate) fn path(self, room: Option<&str>) -> String {
        match (self, room) {
            (Protocol::Emit, _) => "/".into(),
            (Protocol::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".into(),
            (Protocol::Mesa, _) => "/mesa".into(),
            (Protocol::Koji, None) => format!("/koji?projectId=bench&maxConnectionsPerShard={SHARD_SEATS}"),
            (Protocol::Koji, Some(room)) => {
                format!("/koji?projectId=bench&shardName={room}&maxConnectionsPerShard=10000")
            }
        }
    }

    /// What to ask to come into a room, unless the path has said it. Mesa has no rooms, so all of one
    /// log in as the same user.
    pub(crate) fn join(self, room: &str) -> Option<String> {
        match self {
            Protocol::Mesa => Some(format!(r#"{{"op":2,"d":{{"token":"{room}"}}}}"#)),
            _ => self.request("/join", &format!(r#"{{"room":"{room}"}}"#)).ok(),
        }
    }

    /// Whether a connection may be in many rooms, and leave them.
    pub(crate) fn has_rooms(self) -> bool {
        matches!(self, Protocol::Emit | Protocol::SocketIo)
    }

    /// Whether the one who sends to a room hears it too.
    pub(crate) fn echoes(self) -> bool {
        self == Protocol::Koji
    }

    /// What to send after the handshake, and how many messages the server says before it is ready.
    pub(crate) fn opening(self) -> (Option<&'static str>, usize) {
        match self {
            Protocol::Emit => (None, 0),
            // The server says hello.
            Protocol::Mesa => (None, 1),
            // Lists follow, as many as the server likes.
            Protocol::Koji => (None, 1),
            // The server opens with `0{…}`, and answers `40` with `40{…}`.
            Protocol::SocketIo => (Some("40"), 2),
        }
    }

    /// A request that is answered by one message.
    pub(crate) fn request(self, event: &str, data: &str) -> Result<String> {
        Ok(match self {
            Protocol::Emit => format!(r#"{{"event":"{event}","data":{data},"ackId":"1"}}"#),
            Protocol::SocketIo => format!(r#"421["{event}",{data}]"#),
            Protocol::Koji | Protocol::Mesa => {
                bail!("this protocol has no requests, which this scenario needs")
            }
        })
    }

    /// An event that is answered by nothing.
    pub(crate) fn event(self, event: &str, data: &str) -> String {
        match self {
            Protocol::Emit => format!(r#"{{"event":"{event}","data":{data}}}"#),
            Protocol::SocketIo => format!(r#"42["{event}",{data}]"#),
            Protocol::Koji => format!(r#"{{"eventName":"{event}","payload":{data}}}"#),
            Protocol::Mesa => format!(r#"{{"op":0,"d":{data},"t":"{event}"}}"#),
        }
    }

    /// Whether a message asks whether we live.
    pub(crate) fn is_ping(self, part: &Part<'_>) -> bool {
        self == Protocol::SocketIo && part.len == 1 && part.bytes == b"2"
    }

    /// The answer to that.
    pub(crate) const PONG: &'static str = "3";
}
