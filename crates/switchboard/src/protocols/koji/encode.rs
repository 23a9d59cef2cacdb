//! Events as frames.

use bytes::Bytes;
use switchboard_event::Event;
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::clock::now_ms;

/// Room for an event's metadata, with two ids and two times, and for the punctuation around it.
const METADATA_BYTES: usize = 256;

pub(crate) fn event(event: &Event) -> Bytes {
    let len = METADATA_BYTES + event.name.len() + event.data.as_bytes().len();
    let latency_ms = now_ms().saturating_sub(event.time_ms);
    encode_with(OpCode::Text, len, |out| koji::write_event(out, event, latency_ms))
}
