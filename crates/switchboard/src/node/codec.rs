//! How the node writes frames, of whatever protocol.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Protocol};

/// The writers of complete WebSocket frames, as the protocols provide them.
pub(crate) struct Codec {
    /// An event for a receiver of a protocol.
    pub(crate) event: fn(Protocol, &Event) -> Bytes,
    /// A message from the inbox; `number` counts those of one redelivery, from 1.
    pub(crate) stored: fn(Protocol, &Event, number: u64) -> Bytes,
    /// A request to a client; `None` if the protocol has no replies.
    pub(crate) request: fn(Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes>,
    /// A reply to a client's request; `None` if the protocol has no requests.
    pub(crate) reply: fn(Protocol, ack: &Payload, data: &Payload) -> Option<Bytes>,
}
