//! The protocols of the generator.

use anyhow::{Result, bail};

use crate::frame_parser::Part;

/// A wire protocol.
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
    /// NATS over WebSocket: `PUB room …`. A frame may hold several messages, so only open loops can be measured.
    Nats,
}

/// Clients per automatic shard.
pub(crate) const SHARD_SEATS: usize = 100;

impl Protocol {
    /// The path of the handshake. Koji's path names the room, a shard; other protocols join the room later.
    pub(crate) fn path(self, room: Option<&str>) -> String {
        match (self, room) {
            (Protocol::Emit | Protocol::Nats, _) => "/".into(),
            (Protocol::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".into(),
            (Protocol::Mesa, _) => "/mesa".into(),
            (Protocol::Koji, None) => format!("/koji?projectId=bench&maxConnectionsPerShard={SHARD_SEATS}"),
            (Protocol::Koji, Some(room)) => {
                format!("/koji?projectId=bench&shardName={room}&maxConnectionsPerShard=10000")
            }
        }
    }

    /// The request that joins a room, unless the path does. Mesa has no rooms, so all connections
    /// of one room log in as the same user.
    pub(crate) fn join(self, room: &str) -> Option<String> {
        match self {
            Protocol::Mesa => Some(format!(r#"{{"op":2,"d":{{"token":"{room}"}}}}"#)),
            Protocol::Nats => Some(format!("SUB {room} 1\r\nPING\r\n")),
            _ => self.request("/join", &format!(r#"{{"room":"{room}"}}"#)).ok(),
        }
    }

    /// Whether a connection can join many rooms and leave them.
    pub(crate) fn has_rooms(self) -> bool {
        matches!(self, Protocol::Emit | Protocol::SocketIo)
    }

    /// Whether a sender receives its own messages to a room.
    pub(crate) fn echoes(self) -> bool {
        matches!(self, Protocol::Koji | Protocol::Nats)
    }

    /// The first text of the client, and the number of messages from the server before it is ready.
    pub(crate) fn opening(self) -> (Option<&'static str>, usize) {
        match self {
            Protocol::Emit => (None, 0),
            // The server sends its hello.
            Protocol::Mesa => (None, 1),
            // Any number of member lists follow.
            Protocol::Koji => (None, 1),
            // The server sends `0{…}` first and answers `40` with `40{…}`.
            Protocol::SocketIo => (Some("40"), 2),
            // The server sends `INFO …` first and answers the ping.
            Protocol::Nats => (Some("CONNECT {\"verbose\":false}\r\nPING\r\n"), 2),
        }
    }

    /// A request with one reply.
    pub(crate) fn request(self, event: &str, data: &str) -> Result<String> {
        Ok(match self {
            Protocol::Emit => format!(r#"{{"event":"{event}","data":{data},"ackId":"1"}}"#),
            Protocol::SocketIo => format!(r#"421["{event}",{data}]"#),
            Protocol::Koji | Protocol::Mesa | Protocol::Nats => {
                bail!("this scenario needs requests, which this protocol does not have")
            }
        })
    }

    /// A message to a room. The data contains the name of the room, too.
    pub(crate) fn message(self, room: &str, data: &str) -> String {
        match self {
            Protocol::Emit => format!(r#"{{"event":"/message","data":{data}}}"#),
            Protocol::SocketIo => format!(r#"42["/message",{data}]"#),
            Protocol::Koji => format!(r#"{{"eventName":"/message","payload":{data}}}"#),
            Protocol::Mesa => format!(r#"{{"op":0,"d":{data},"t":"/message"}}"#),
            Protocol::Nats => format!("PUB {room} {}\r\n{data}\r\n", data.len()),
        }
    }

    /// The answer to a message that is a ping of the protocol.
    pub(crate) fn pong(self, part: &Part<'_>) -> Option<&'static str> {
        match self {
            Protocol::SocketIo if part.len == 1 && part.bytes == b"2" => Some("3"),
            Protocol::Nats if part.bytes == b"PING\r\n" => Some("PONG\r\n"),
            _ => None,
        }
    }
}
