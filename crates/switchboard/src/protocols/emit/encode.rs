//! Encodes events, requests and replies as frames.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Position, RoomName};
use switchboard_wire::emit;
use switchboard_ws::frame::{OpCode, encode_with};

/// Estimated length of a frame without its name and data.
const ENVELOPE_BYTES: usize = 64;

pub(crate) fn event(event: &Event) -> Bytes {
    let len = ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| emit::write_event(out, &event.name, &event.data))
}

/// Encodes an event with its place in the history of its room.
pub(crate) fn recorded(event: &Event, room: &RoomName, position: Position) -> Bytes {
    let len = 2 * ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len() + room.len();
    encode_with(OpCode::Text, len, |out| emit::write_recorded(out, &event.name, &event.data, room, position))
}

/// Encodes a [notice](super::notices).
pub(crate) fn notice(name: &str, data: &Payload) -> Bytes {
    let len = ENVELOPE_BYTES + name.len() + data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| emit::write_event(out, name, data))
}

pub(crate) fn request(name: &str, data: &Payload, id: u32) -> Bytes {
    let len = ENVELOPE_BYTES + name.len() + data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| emit::write_request(out, name, data, &id.to_string()))
}

pub(crate) fn reply(ack: &Payload, data: &Payload) -> Bytes {
    let len = ENVELOPE_BYTES + ack.as_bytes().len() + data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| emit::write_reply(out, ack, data))
}
