//! Encodes events as frames.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Position, RoomName};
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::clock::now_ms;

/// Estimated length of a frame without its name and data: two ids, two times and the field names.
const METADATA_BYTES: usize = 256;

pub(crate) fn event(event: &Event) -> Bytes {
    let len = METADATA_BYTES + event.name.len() + event.data.as_bytes().len();
    let latency_ms = now_ms().saturating_sub(event.time_ms);
    encode_with(OpCode::Text, len, |out| koji::write_event(out, event, latency_ms))
}

/// Encodes a notice: an event that Koji Dispatch does not have. Its name has the prefix `@@SWITCHBOARD/` in place of the `@` of emit.
pub(crate) fn notice(name: &str, data: &Payload) -> Bytes {
    let name = name.trim_start_matches('@');
    encode_with(OpCode::Text, 128 + data.as_bytes().len(), |out| koji::write_notice(out, name, data))
}

/// Encodes an event with its place in the history of its room.
pub(crate) fn recorded(event: &Event, room: &RoomName, position: Position) -> Bytes {
    let len = METADATA_BYTES + event.name.len() + event.data.as_bytes().len() + 64 + room.len();
    let latency_ms = now_ms().saturating_sub(event.time_ms);
    encode_with(OpCode::Text, len, |out| koji::write_recorded(out, event, latency_ms, room, position))
}
