//! The frame encoders that protocols provide to the node.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Protocol};

/// Functions that encode complete WebSocket frames.
pub(crate) struct FrameEncoders {
    /// Encodes an event. `None` if the protocol reserves its name.
    pub(crate) event: fn(Protocol, &Event) -> Option<Bytes>,
    /// Encodes a message from the inbox. `number` is its number within the redelivery, from 1. `None` if the
    /// protocol reserves its name.
    pub(crate) stored: fn(Protocol, &Event, number: u64) -> Option<Bytes>,
    /// Encodes a request to a client. `None` if clients of the protocol cannot reply.
    pub(crate) request: fn(Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes>,
    /// Encodes a reply to a client's request. `None` if the protocol has no requests.
    pub(crate) reply: fn(Protocol, ack: &Payload, data: &Payload) -> Option<Bytes>,
}
