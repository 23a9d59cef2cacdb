//! Koji Dispatch: `{"eventName":…,"payload":…,"recipients":…}` from clients, and
//! `{"eventName":…,"payload":…,"latencyMs":…}` to them.
//!
//! The protocol is written down in `spec/koji.md`.

mod incoming;
mod metadata;

use switchboard_event::{Event, Payload, ShardName, SocketId};

use crate::text::{write_fmt, write_text};

pub use incoming::{Incoming, MESSAGE_UNITS_MAX, decode};

use metadata::write_payload;

/// Names with this in front are the platform's own.
const PLATFORM: &str = "@@KOJI_DISPATCH/";

/// What the server says first: who and where the client is.
pub const CONNECTED: &str = "@@KOJI_DISPATCH/CONNECTED";

/// Who is on the shard, the whole list.
pub const CLIENTS_CHANGED: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";

/// What changed of that list; only for those who asked for it.
pub const CLIENTS_CHANGES: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES";

fn is_object(payload: &Payload) -> bool {
    payload.as_bytes().starts_with(b"{")
}

/// Writes an event for a client: `latency_ms` is how long it was on its way.
///
/// An object gets the sender and the time into it. `__clientId` and `__timestamp` are always the
/// server's; `clientId` and `timestamp` are added unless the sender has written its own.
pub fn write_event(out: &mut Vec<u8>, event: &Event, latency_ms: u64) {
    out.extend_from_slice(b"{\"eventName\":");
    write_text(out, &event.name);
    out.extend_from_slice(b",\"payload\":");
    write_payload(out, event);
    write_latency_and_end(out, latency_ms);
}

/// Writes what the platform itself says: `payload` is JSON.
pub fn write_platform(out: &mut Vec<u8>, name: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"eventName\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"payload\":");
    payload(out);
    write_latency_and_end(out, 0);
}

fn write_latency_and_end(out: &mut Vec<u8>, latency_ms: u64) {
    write_fmt(out, format_args!(",\"latencyMs\":{latency_ms}}}"));
}

/// Writes `{"clientId":…,"shardName":…}`.
pub fn write_connected(out: &mut Vec<u8>, id: SocketId, shard: &ShardName) {
    write_platform(out, CONNECTED, |out| {
        write_fmt(out, format_args!("{{\"clientId\":\"{id}\",\"shardName\":"));
        write_text(out, shard);
        out.push(b'}');
    });
}

/// One client of a list.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub id: SocketId,
    /// What it says of itself, an object.
    pub user_info: Payload,
    /// When it was last heard, in milliseconds since 1970.
    pub last_ping_ms: u64,
}

/// Writes `{"<id>":{"userInfo":…,"lastPing":…},…}`.
pub fn write_clients<'a>(out: &mut Vec<u8>, clients: impl IntoIterator<Item = &'a Client>) {
    out.push(b'{');
    for (place, Client { id, user_info, last_ping_ms }) in clients.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write_fmt(out, format_args!("{comma}\"{id}\":{{\"userInfo\":"));
        out.extend_from_slice(user_info.as_bytes());
        write_fmt(out, format_args!(",\"lastPing\":{last_ping_ms}}}"));
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn lists_are_keyed_by_client() {
        let client = |info: &str, last_ping_ms| Client {
            id: SocketId::random(),
            user_info: Payload::parse(info).unwrap(),
            last_ping_ms,
        };
        let (ann, bob) = (client(r#"{"name":"Ann"}"#, 5), client("{}", 6));
        let mut out = Vec::new();
        write_clients(&mut out, [&ann, &bob]);
        let expected = json!({
            ann.id.to_string(): { "userInfo": { "name": "Ann" }, "lastPing": 5 },
            bob.id.to_string(): { "userInfo": {}, "lastPing": 6 },
        });
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}
