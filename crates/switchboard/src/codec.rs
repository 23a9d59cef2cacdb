//! Events as complete WebSocket frames: the one place that knows every dialect's writer.

use bytes::Bytes;
use switchboard_event::{Dialect, Event, Payload};
use switchboard_wire::emit;
use switchboard_ws::frame::{OpCode, encode_with};

/// Room for the names and punctuation around an event's data.
const ENVELOPE_BYTES: usize = 64;

/// An event for a receiver of a dialect.
pub(crate) fn encode(dialect: Dialect, event: &Event) -> Bytes {
    let len = ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len();
    match dialect {
        Dialect::Emit => {
            encode_with(OpCode::Text, len, |out| emit::write_event(out, &event.name, &event.data))
        }
    }
}

/// A request to a client.
pub(crate) fn request(dialect: Dialect, name: &str, data: &Payload, id: u32) -> Bytes {
    let len = ENVELOPE_BYTES + name.len() + data.as_bytes().len();
    match dialect {
        Dialect::Emit => {
            encode_with(OpCode::Text, len, |out| emit::write_request(out, name, data, &id.to_string()))
        }
    }
}

/// A reply to a client's request.
pub(crate) fn reply(dialect: Dialect, ack: &Payload, data: &Payload) -> Bytes {
    let len = ENVELOPE_BYTES + ack.as_bytes().len() + data.as_bytes().len();
    match dialect {
        Dialect::Emit => encode_with(OpCode::Text, len, |out| emit::write_reply(out, ack, data)),
    }
}
