//! The Koji protocol: `{"eventName":…,"payload":…,"recipients":…}` from clients, and
//! `{"eventName":…,"payload":…,"latencyMs":…}` to clients.
//!
//! Specified in `spec/koji.md`.

mod incoming;
mod metadata;

use switchboard_event::{Event, Payload, Position, RoomName, ShardName, SocketId};

use crate::write::{write_fmt, write_position, write_text};

pub use incoming::{Incoming, MESSAGE_UNITS_MAX, MessageBounds, RECIPIENTS_MAX, decode};

use metadata::write_payload;

/// The prefix of the original's platform events.
const PLATFORM: &str = "@@KOJI_DISPATCH/";

/// The prefix of platform events that the original does not have.
const PLATFORM_EXTENSION: &str = "@@SWITCHBOARD/";

/// The server's first event: the client's id and shard.
pub const CONNECTED: &str = "@@KOJI_DISPATCH/CONNECTED";

/// The whole member list of the shard.
pub const CLIENTS_CHANGED: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";

/// A change of that list; only for clients that requested changes.
pub const CLIENTS_CHANGES: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES";

/// The answer to a token; only for clients that requested answers.
pub const IDENTIFIED: &str = "@@SWITCHBOARD/identified";

/// Returns true if an event of this name is a platform event. Only the server writes them, with
/// [`write_platform`]; an event of anybody else must not look like one.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PLATFORM) || name.starts_with(PLATFORM_EXTENSION)
}

/// Writes an event for a client; `latency_ms` is the time since it was received.
///
/// The sender and the time are added to an object. `__clientId` and `__timestamp` are always the
/// server's; `clientId` and `timestamp` are added unless the sender has written its own.
pub fn write_event(out: &mut Vec<u8>, event: &Event, latency_ms: u64) {
    out.extend_from_slice(b"{\"eventName\":");
    write_text(out, &event.name);
    out.extend_from_slice(b",\"payload\":");
    write_payload(out, event);
    write_latency_and_end(out, latency_ms);
}

/// Writes an event like [`write_event`], with its place in the history of its room.
pub fn write_recorded(
    out: &mut Vec<u8>,
    event: &Event,
    latency_ms: u64,
    room: &RoomName,
    position: Position,
) {
    out.extend_from_slice(b"{\"eventName\":");
    write_text(out, &event.name);
    write_position(out, room, position);
    out.extend_from_slice(b",\"payload\":");
    write_payload(out, event);
    write_latency_and_end(out, latency_ms);
}

/// Writes a platform event; `payload` is JSON.
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

/// Writes the answer to a token: `{"user":…}`, or `{"error":…}` with the reason.
pub fn write_identified(out: &mut Vec<u8>, outcome: Result<&str, &str>) {
    write_platform(out, IDENTIFIED, |out| {
        let (member, text) = match outcome {
            Ok(user) => ("user", user),
            Err(reason) => ("error", reason),
        };
        write_fmt(out, format_args!("{{\"{member}\":"));
        write_text(out, text);
        out.push(b'}');
    });
}

/// Writes an event that the original protocol does not have, under the prefix of this server.
pub fn write_notice(out: &mut Vec<u8>, name: &str, payload: &Payload) {
    write_platform(out, &format!("{PLATFORM_EXTENSION}{name}"), |out| {
        out.extend_from_slice(payload.as_bytes())
    });
}

/// Writes `{"clientId":…,"shardName":…}`.
pub fn write_connected(out: &mut Vec<u8>, id: SocketId, shard: &ShardName) {
    write_platform(out, CONNECTED, |out| {
        write_fmt(out, format_args!("{{\"clientId\":\"{id}\",\"shardName\":"));
        write_text(out, shard);
        out.push(b'}');
    });
}

/// A client of a member list.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub id: SocketId,
    /// Its user info, an object.
    pub user_info: Payload,
    /// When its last frame was received, in milliseconds since 1970.
    pub last_ping_ms: u64,
}

/// The most bytes of an entry without its user info.
const ENTRY_BYTES_MAX: usize = r#","":{"userInfo":,"lastPing":}"#.len() + 36 + 20;

/// How many bytes [`write_clients`] writes at most. The difference is a few bytes for each client.
pub fn clients_bytes_max<'a>(clients: impl IntoIterator<Item = &'a Client>) -> usize {
    let entry = |client: &Client| ENTRY_BYTES_MAX + client.user_info.as_bytes().len();
    2 + clients.into_iter().map(entry).sum::<usize>()
}

/// Writes `{"<id>":{"userInfo":…,"lastPing":…},…}`.
pub fn write_clients<'a>(out: &mut Vec<u8>, clients: impl IntoIterator<Item = &'a Client>) {
    out.push(b'{');
    for (index, Client { id, user_info, last_ping_ms }) in clients.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
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
    fn member_lists_are_keyed_by_client_id() {
        let client = |info: &str, last_ping_ms| Client {
            id: SocketId::random(),
            user_info: Payload::parse(info).unwrap(),
            last_ping_ms,
        };
        let (ann, bob) = (client(r#"{"name":"Ann"}"#, 5), client("{}", 6));
        let mut out = Vec::new();
        write_clients(&mut out, [&ann, &bob]);
        assert!((0..=2 * 20).contains(&(clients_bytes_max([&ann, &bob]) - out.len())));
        let expected = json!({
            ann.id.to_string(): { "userInfo": { "name": "Ann" }, "lastPing": 5 },
            bob.id.to_string(): { "userInfo": {}, "lastPing": 6 },
        });
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}
