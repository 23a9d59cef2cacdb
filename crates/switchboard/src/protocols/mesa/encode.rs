//! Encodes events as frames.

use bytes::Bytes;
use switchboard_event::Event;
use switchboard_wire::mesa;
use switchboard_ws::frame::{OpCode, encode_with};

/// Estimated length of a frame without its name and data.
const ENVELOPE_BYTES: usize = 64;

/// Encodes an event; `number` counts the messages of a redelivery from 1 and is `None` for live events.
pub(crate) fn event(event: &Event, number: Option<u64>) -> Bytes {
    let len = ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| mesa::write_event(out, &event.name, &event.data, number))
}
