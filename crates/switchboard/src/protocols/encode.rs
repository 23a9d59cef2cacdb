//! Events as complete WebSocket frames: the one place that knows every protocol's writer.

use bytes::Bytes;
use switchboard_event::{Event, Payload, Protocol};
use switchboard_wire::{emit, koji, mesa};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::clock::now_ms;

/// Room for the names and punctuation around an event's data.
const ENVELOPE_BYTES: usize = 64;

/// Room for what Koji puts into an event's data: two ids and two times, with their keys.
const METADATA_BYTES: usize = 192;

/// An event for a receiver of a protocol.
pub(crate) fn encode(protocol: Protocol, event: &Event) -> Bytes {
    let len = ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len();
    match protocol {
        Protocol::Emit => {
            encode_with(OpCode::Text, len, |out| emit::write_event(out, &event.name, &event.data))
        }
        Protocol::Koji => {
            let latency_ms = now_ms().saturating_sub(event.time_ms);
            encode_with(OpCode::Text, len + METADATA_BYTES, |out| koji::write_event(out, event, latency_ms))
        }
        Protocol::Mesa => {
            encode_with(OpCode::Text, len, |out| mesa::write_event(out, &event.name, &event.data, None))
        }
    }
}

/// A message that a user has missed, for one who comes. Mesa's are numbered from 1.
pub(crate) fn encode_missed(protocol: Protocol, event: &Event, number: u64) -> Bytes {
    if protocol != Protocol::Mesa {
        return encode(protocol, event);
    }
    let len = ENVELOPE_BYTES + event.name.len() + event.data.as_bytes().len();
    encode_with(OpCode::Text, len, |out| mesa::write_event(out, &event.name, &event.data, Some(number)))
}

/// A request to a client; none where the protocol has no replies.
pub(crate) fn request(protocol: Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes> {
    let len = ENVELOPE_BYTES + name.len() + data.as_bytes().len();
    match protocol {
        Protocol::Emit => {
            let write = |out: &mut Vec<u8>| emit::write_request(out, name, data, &id.to_string());
            Some(encode_with(OpCode::Text, len, write))
        }
        Protocol::Koji | Protocol::Mesa => None,
    }
}

/// A reply to a client's request; none where the protocol has no requests.
pub(crate) fn reply(protocol: Protocol, ack: &Payload, data: &Payload) -> Option<Bytes> {
    let len = ENVELOPE_BYTES + ack.as_bytes().len() + data.as_bytes().len();
    match protocol {
        Protocol::Emit => Some(encode_with(OpCode::Text, len, |out| emit::write_reply(out, ack, data))),
        Protocol::Koji | Protocol::Mesa => None,
    }
}
