//! The protocols the generator can speak.

use crate::walk::Part;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// emit: `{"event":…,"data":…,"ackId":…}`.
    Emit,
    /// Socket.IO over Engine.IO 4, WebSocket only.
    SocketIo,
}

impl Protocol {
    /// The path of the handshake.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Protocol::Emit => "/",
            Protocol::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        }
    }

    /// What to send after the handshake, and how many messages the server says before it is ready.
    pub(crate) fn opening(self) -> (Option<&'static str>, usize) {
        match self {
            Protocol::Emit => (None, 0),
            // The server opens with `0{…}`, and answers `40` with `40{…}`.
            Protocol::SocketIo => (Some("40"), 2),
        }
    }

    /// A request that is answered by one message.
    pub(crate) fn request(self, event: &str, data: &str) -> String {
        match self {
            Protocol::Emit => format!(r#"{{"event":"{event}","data":{data},"ackId":"1"}}"#),
            Protocol::SocketIo => format!(r#"421["{event}",{data}]"#),
        }
    }

    /// An event that is answered by nothing.
    pub(crate) fn event(self, event: &str, data: &str) -> String {
        match self {
            Protocol::Emit => format!(r#"{{"event":"{event}","data":{data}}}"#),
            Protocol::SocketIo => format!(r#"42["{event}",{data}]"#),
        }
    }

    /// Whether a message asks whether we live.
    pub(crate) fn is_ping(self, part: &Part<'_>) -> bool {
        self == Protocol::SocketIo && part.len == 1 && part.bytes == b"2"
    }

    /// The answer to that.
    pub(crate) const PONG: &'static str = "3";
}
