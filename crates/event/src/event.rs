//! What a client sends or receives: a name, data, and who sent it.

use crate::{Name, Payload, SocketId};

/// The wire protocols a connection can speak. A protocol translates frames to events and back; it
/// decides nothing.
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
    /// How many protocols there are; a [`Parcel`](crate::Parcel) keeps a frame for each.
    pub const COUNT: usize = 3;

    /// All of them, each at its [`index`](Self::index).
    pub const ALL: [Protocol; Protocol::COUNT] = [Protocol::Emit, Protocol::Koji, Protocol::Mesa];

    /// A number below [`COUNT`](Self::COUNT), one for each protocol.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A named message with its data.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened, such as `message`; matched exactly.
    pub name: Name,
    /// The data as JSON.
    pub data: Payload,
    /// The socket it came from; none when the app sent it.
    pub sender: Option<SocketId>,
    /// When the node of its sender got it, in milliseconds since 1970 by that node's clock.
    pub time_ms: u64,
}

/// What may happen to a message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeliveryClass {
    /// At most once, in order per sender and receiver. A receiver whose outbox is full is closed
    /// with 1013, so that it knows something was lost.
    #[default]
    Live,
    /// Dropped and counted when a receiver's outbox is full; the receiver stays.
    Volatile,
}
