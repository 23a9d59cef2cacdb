//! Events: a name, data, and the sender.

use crate::{Name, Payload, SocketId, TraceId};

/// The wire protocol of a connection. It translates frames to events and back and makes no decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// emit.gg: `{"event":…,"data":…}`.
    Emit,
    /// Koji Dispatch: `{"eventName":…,"payload":…,"latencyMs":…}`.
    Koji,
    /// Mesa: `{"op":0,"d":…,"t":…}`.
    Mesa,
}

impl Protocol {
    /// The number of protocols; a [`Parcel`](crate::Parcel) holds a frame for each.
    pub const COUNT: usize = 3;

    /// All of them, each at its [`index`](Self::index).
    pub const ALL: [Protocol; Protocol::COUNT] = [Protocol::Emit, Protocol::Koji, Protocol::Mesa];

    /// The name in log lines and metrics, such as `koji`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Emit => "emit",
            Protocol::Koji => "koji",
            Protocol::Mesa => "mesa",
        }
    }

    /// A number below [`COUNT`](Self::COUNT), unique to the protocol.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A named message with data.
#[derive(Debug, Clone)]
pub struct Event {
    /// The name, such as `message`; matched exactly.
    pub name: Name,
    /// The data as JSON.
    pub data: Payload,
    /// The sending socket; none if the application sent it.
    pub sender: Option<SocketId>,
    /// When the sender's node received it, in milliseconds since 1970 by that node's clock.
    pub time_ms: u64,
    /// The trace that records what becomes of it; none for most events.
    pub trace: Option<TraceId>,
}
