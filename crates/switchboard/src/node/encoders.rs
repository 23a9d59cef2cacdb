//! The frame encoders that protocols provide to the node.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Protocol};
use switchboard_hub::Encode;

/// Functions that encode complete WebSocket frames.
pub(crate) struct FrameEncoders {
    /// Encodes an event, with its place in the history of its room if the client receives positions. `None` if the
    /// protocol reserves its name.
    pub(crate) event: Encode,
    /// Returns true if clients must not receive the event, because the protocol reserves its name.
    pub(crate) reserves: fn(Protocol, &Event) -> bool,
    /// Encodes a message from the inbox. `number` is its number within the redelivery, from 1. `None` if the
    /// protocol reserves its name.
    pub(crate) stored: fn(Protocol, &Event, number: u64) -> Option<Bytes>,
    /// Encodes a notice: an event that the original protocol does not have. `None` if the protocol has no notices.
    pub(crate) notice: fn(Protocol, name: &str, data: &Payload) -> Option<Bytes>,
    /// Encodes a request to a client. `None` if clients of the protocol cannot reply.
    pub(crate) request: fn(Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes>,
    /// Encodes a reply to a client's request. `None` if the protocol has no requests.
    pub(crate) reply: fn(Protocol, ack: &Payload, data: &Payload) -> Option<Bytes>,
}
