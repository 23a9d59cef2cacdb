//! The Mesa protocol: `{"op":0,"d":…,"t":…}` in both directions, and a few reserved operations.
//!
//! Specified in `spec/mesa.md`.

use std::borrow::Cow;

use switchboard_event::json::Raw;
use switchboard_event::{Buffer, Name, NameError, Payload};

use crate::DecodeError;
use crate::envelope::{read_members, text_of};
use crate::write::{write_fmt, write_text};

mod event_name;

pub(crate) use event_name::PREFIX as OP_PREFIX;
pub use event_name::{event_name, op_and_type};

/// The reserved operations.
pub mod op {
    /// A message, in either direction.
    pub const DISPATCH: i64 = 0;
    /// The server requests a sign of life.
    pub const HEARTBEAT: i64 = 1;
    /// A client authenticates as a user.
    pub const AUTHENTICATE: i64 = 2;
    /// Between servers only.
    pub const INTERNAL: i64 = 5;
    /// The server's first frame.
    pub const HELLO: i64 = 10;
    /// The client replies to a heartbeat.
    pub const HEARTBEAT_ACK: i64 = 11;
    /// The client is authenticated.
    pub const AUTHENTICATED: i64 = 22;
}

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message for the application.
    Message(Message),
    /// The client authenticates.
    Authenticate {
        /// The token; none if the frame contains no valid one.
        token: Option<String>,
        /// True if it requests the stored messages.
        should_sync: bool,
    },
    /// The client requests a sign of life.
    Heartbeat,
    /// The client replies to a heartbeat.
    HeartbeatAck,
}

/// A message on the wire, without the number of a redelivered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The operation; [`op::DISPATCH`] for messages of applications.
    pub op: i64,
    /// The type, `t`.
    pub kind: Option<Name>,
    /// The data, `d`; `{}` if missing.
    pub data: Payload,
}

/// Decodes one message, text or binary.
pub fn decode<'a>(frame: impl Into<Buffer<'a>>) -> Result<Incoming, DecodeError> {
    let frame = frame.into();
    let envelope = Envelope::read(frame.as_bytes())?;
    Ok(match envelope.op()? {
        op::AUTHENTICATE => envelope.authenticate(),
        op::HEARTBEAT => Incoming::Heartbeat,
        op::HEARTBEAT_ACK => Incoming::HeartbeatAck,
        op @ (op::INTERNAL | op::HELLO | op::AUTHENTICATED) => {
            return Err(DecodeError::Reserved(format!("op {op}")));
        }
        op => Incoming::Message(envelope.message(op, frame)?),
    })
}

/// Decodes a message of a backend, whatever its operation.
pub fn decode_message<'a>(json: impl Into<Buffer<'a>>) -> Result<Message, DecodeError> {
    let json = json.into();
    let envelope = Envelope::read(json.as_bytes())?;
    envelope.message(envelope.op()?, json)
}

impl Message {
    /// Its event name; see [`event_name`]. [`write_event`] is the inverse.
    pub fn name(&self) -> Result<Name, NameError> {
        event_name(self.op, self.kind.as_ref())
    }
}

/// Returns true if clients must not receive an event of this name from other clients: its operation is one by
/// which the server controls the connection. Backends may send every operation.
pub fn is_reserved(name: &str) -> bool {
    let (op, _) = op_and_type(name);
    matches!(
        op,
        op::HEARTBEAT | op::AUTHENTICATE | op::INTERNAL | op::HELLO | op::HEARTBEAT_ACK | op::AUTHENTICATED
    )
}

/// Writes an event; `number` counts redelivered messages since authentication, from 1.
pub fn write_event(out: &mut Vec<u8>, name: &str, data: &Payload, number: Option<u64>) {
    let (op, kind) = op_and_type(name);
    write_parts(out, op, kind, data, number);
}

fn write_parts(out: &mut Vec<u8>, op: i64, kind: Option<&str>, data: &Payload, number: Option<u64>) {
    write_fmt(out, format_args!("{{\"op\":{op},\"d\":"));
    out.extend_from_slice(data.as_bytes());
    if let Some(kind) = kind {
        out.extend_from_slice(b",\"t\":");
        write_text(out, kind);
    }
    if let Some(number) = number {
        write_fmt(out, format_args!(",\"s\":{number}"));
    }
    out.push(b'}');
}

/// The server's first frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The heartbeat interval, in milliseconds; none without heartbeats.
    pub heartbeat_ms: Option<u64>,
    /// The client's reconnect delay, in milliseconds; none if it does not reconnect.
    pub reconnect_ms: Option<u64>,
    /// The authentication timeout, in milliseconds.
    pub authentication_ms: u64,
    /// Behaviours of the server, such as `sends_user_object`.
    pub rules: Vec<&'static str>,
}

/// Writes the first frame. It always contains `rules`: clients fail without.
pub fn write_hello(out: &mut Vec<u8>, hello: &Hello) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":{{", op::HELLO));
    if let Some(ms) = hello.heartbeat_ms {
        write_fmt(out, format_args!("\"c_heartbeat_interval\":{ms},"));
    }
    if let Some(ms) = hello.reconnect_ms {
        write_fmt(out, format_args!("\"c_reconnect_interval\":{ms},"));
    }
    write_fmt(out, format_args!("\"c_authentication_timeout\":{},\"rules\":", hello.authentication_ms));
    serde_json::to_writer(&mut *out, &hello.rules).expect("strings are JSON and a Vec accepts all bytes");
    out.extend_from_slice(b"}}");
}

/// Writes a heartbeat: the first, or a numbered retry.
pub fn write_heartbeat(out: &mut Vec<u8>, tries: Option<(u32, u32)>) {
    match tries {
        None => write_fmt(out, format_args!("{{\"op\":{},\"d\":{{}}}}", op::HEARTBEAT)),
        Some((tries, max)) => {
            let op = op::HEARTBEAT;
            write_fmt(out, format_args!("{{\"op\":{op},\"d\":{{\"tries\":{tries},\"max\":{max}}}}}"));
        }
    }
}

/// Writes the reply to a client's heartbeat.
pub fn write_heartbeat_ack(out: &mut Vec<u8>) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":{{}}}}", op::HEARTBEAT_ACK));
}

/// Writes that the client is authenticated; `user` is the object passed to the client.
pub fn write_authenticated(out: &mut Vec<u8>, user: &Payload) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":", op::AUTHENTICATED));
    out.extend_from_slice(user.as_bytes());
    out.push(b'}');
}

/// The known members of a frame; the last of duplicate members counts.
#[derive(Default)]
struct Envelope<'a> {
    op: Option<Raw<'a>>,
    data: Option<Raw<'a>>,
    kind: Option<Raw<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Envelope::default();
        read_members(frame, |name, value| match name {
            "op" => envelope.op = Some(value),
            "d" => envelope.data = Some(value),
            "t" => envelope.kind = Some(value),
            _ => {}
        })?;
        Ok(envelope)
    }

    fn op(&self) -> Result<i64, DecodeError> {
        let wrong = || DecodeError::WrongField { field: "op", expected: "a whole number" };
        let op = self.op.ok_or(DecodeError::MissingField("op"))?;
        // JavaScript reads 2.0 and 2e0 as 2.
        let number: f64 = serde_json::from_str(op.get()).map_err(|_| wrong())?;
        let is_whole = number.fract() == 0.0 && number.abs() < i64::MAX as f64;
        is_whole.then_some(number as i64).ok_or_else(wrong)
    }

    fn authenticate(&self) -> Incoming {
        let (mut token, mut should_sync) = (None, true);
        let data = self.data.map_or("", Raw::get);
        let read = read_members(data.as_bytes(), |name, value| match name {
            "token" => token = text_of(value).map(Cow::into_owned),
            "shouldSync" => should_sync = value.get() != "false",
            _ => {}
        });
        // Data that is not an object contains no token.
        drop(read);
        Incoming::Authenticate { token, should_sync }
    }

    fn message(&self, op: i64, frame: Buffer<'_>) -> Result<Message, DecodeError> {
        let is_null = |raw: &Raw<'_>| raw.get() == "null";
        let data = self.data.filter(|data| !is_null(data));
        let data = data.map_or(Payload::EMPTY, |data| Payload::part_of(frame, data));
        let kind = self.kind.filter(|kind| !is_null(kind)).map(read_kind).transpose()?;
        Ok(Message { op, kind, data })
    }
}

fn read_kind(kind: Raw<'_>) -> Result<Name, DecodeError> {
    let name = text_of(kind).and_then(|text| Name::new(&text).ok());
    name.ok_or(DecodeError::WrongField { field: "t", expected: "a string of 1 to 256 bytes" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn try_read(frame: &str) -> Result<Incoming, DecodeError> {
        decode(frame.as_bytes())
    }

    fn message(op: i64, kind: Option<&str>, data: &str) -> Message {
        Message { op, kind: kind.map(|kind| Name::new(kind).unwrap()), data: Payload::parse(data).unwrap() }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn unreserved_operations_are_messages_for_the_application() {
        let read = |frame| match try_read(frame) {
            Ok(Incoming::Message(message)) => message,
            other => panic!("{frame}: {other:?}"),
        };
        assert_eq!(read(r#"{"op":0,"d":{"n":1},"t":"PING"}"#), message(0, Some("PING"), r#"{"n":1}"#));
        assert_eq!(read(r#"{"op":0.0,"s":4,"t":null,"d":null,"o":1}"#), message(0, None, "{}"));
        assert_eq!(read(r#"{"op":7,"d":[1]}"#), message(7, None, "[1]"));
        assert_eq!(read(r#"{"op":-1}"#), message(-1, None, "{}"));
        assert_eq!(read(r#"{"op":2,"op":3e0}"#), message(3, None, "{}"));
    }

    #[test]
    fn operations_of_servers_are_refused_from_clients() {
        for op in [5, 10, 22] {
            let frame = format!(r#"{{"op":{op},"t":"DISCONNECT_CLIENT"}}"#);
            assert!(matches!(try_read(&frame), Err(DecodeError::Reserved(_))), "{frame}");
        }
        assert_eq!(try_read(r#"{"op":1,"d":{}}"#).unwrap(), Incoming::Heartbeat);
        assert_eq!(try_read(r#"{"op":11}"#).unwrap(), Incoming::HeartbeatAck);
    }

    #[test]
    fn an_authentication_without_a_valid_token_is_decoded_without_one() {
        let login = |d: &str| try_read(&format!(r#"{{"op":2,"d":{d}}}"#)).unwrap();
        let expected = |token: Option<&str>, should_sync| Incoming::Authenticate {
            token: token.map(str::to_owned),
            should_sync,
        };
        assert_eq!(login(r#"{"token":"t","shouldSync":false,"x":[]}"#), expected(Some("t"), false));
        assert_eq!(login(r#"{"token":"a\u0062"}"#), expected(Some("ab"), true));
        assert_eq!(login(r#"{"token":"t","shouldSync":true}"#), expected(Some("t"), true));
        for wrong in ["null", "[]", "5", "\"t\"", "{}", r#"{"token":5}"#, r#"{"token":null}"#] {
            assert_eq!(login(wrong), expected(None, true), "{wrong}");
        }
        assert_eq!(try_read(r#"{"op":2}"#).unwrap(), expected(None, true));
    }

    #[test]
    fn an_invalid_frame_is_an_error() {
        let long = format!(r#"{{"op":0,"t":"{}"}}"#, "x".repeat(257));
        let deep = format!(r#"{{"op":0,"d":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for bad in [
            "",
            "{bad",
            "null",
            "[]",
            "5",
            "{}",
            r#"{"op":null}"#,
            r#"{"op":"0"}"#,
            r#"{"op":0.5}"#,
            r#"{"op":1e300}"#,
            r#"{"op":0,"t":5}"#,
            r#"{"op":0,"t":""}"#,
            r#"{"op":{}}"#,
            &long,
            &deep,
        ] {
            assert!(try_read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_match_the_original_server() {
        let data = Payload::parse(r#"{"a":1}"#).unwrap();
        assert_eq!(
            written(|out| write_event(out, "X", &data, None)),
            json!({ "op": 0, "d": { "a": 1 }, "t": "X" })
        );
        let missed = written(|out| write_event(out, "X", &data, Some(3)));
        assert_eq!(missed, json!({ "op": 0, "d": { "a": 1 }, "t": "X", "s": 3 }));
        assert_eq!(written(|out| write_heartbeat(out, None)), json!({ "op": 1, "d": {} }));
        let tries = written(|out| write_heartbeat(out, Some((2, 3))));
        assert_eq!(tries, json!({ "op": 1, "d": { "tries": 2, "max": 3 } }));
        assert_eq!(written(write_heartbeat_ack), json!({ "op": 11, "d": {} }));
        assert_eq!(written(|out| write_authenticated(out, &data)), json!({ "op": 22, "d": { "a": 1 } }));
        let hello = Hello { authentication_ms: 10_000, ..Hello::default() };
        let bare = json!({ "op": 10, "d": { "c_authentication_timeout": 10_000, "rules": [] } });
        assert_eq!(written(|out| write_hello(out, &hello)), bare);
        let hello = Hello {
            heartbeat_ms: Some(1000),
            reconnect_ms: Some(1500),
            rules: vec!["store_messages", "sends_user_object"],
            ..hello
        };
        let full = json!({ "op": 10, "d": {
            "c_heartbeat_interval": 1000,
            "c_reconnect_interval": 1500,
            "c_authentication_timeout": 10_000,
            "rules": ["store_messages", "sends_user_object"],
        } });
        assert_eq!(written(|out| write_hello(out, &hello)), full);
    }

    #[test]
    fn operation_and_type_round_trip_through_an_event() {
        for (op, kind, name) in [
            (0, Some("PING"), "PING"),
            (0, None, "@op/0"),
            (7, None, "@op/7"),
            (-7, Some("a/b"), "@op/-7/a/b"),
            (0, Some("@op/5"), "@op/0/@op/5"),
        ] {
            let message = message(op, kind, r#"{"n":1}"#);
            assert_eq!(&*message.name().unwrap(), name);
            let frame = written(|out| write_event(out, name, &message.data, None));
            assert_eq!(decode(frame.to_string().as_bytes()).unwrap(), Incoming::Message(message));
        }
        assert!(message(7, Some(&"x".repeat(256)), "{}").name().is_err());
        let unchanged = written(|out| write_event(out, "@op/x", &Payload::EMPTY, None));
        assert_eq!(unchanged, json!({ "op": 0, "d": {}, "t": "@op/x" }));
    }

    #[test]
    fn names_and_values_that_rust_cannot_represent_do_not_hide_the_frame() {
        let frame = r#"{"op":0,"\ud800":0,"t":"A","d":{"\udc00":"\ud800"}}"#;
        let expected = message(0, Some("A"), r#"{"\udc00":"\ud800"}"#);
        assert_eq!(try_read(frame).unwrap(), Incoming::Message(expected));
        let login = r#"{"op":2,"d":{"\ud800":0,"token":"t","shouldSync":false}}"#;
        let expected = Incoming::Authenticate { token: Some("t".into()), should_sync: false };
        assert_eq!(try_read(login).unwrap(), expected);
        assert!(try_read(r#"{"op":0,"t":"\ud800"}"#).is_err());
    }

    #[test]
    fn an_event_of_a_client_cannot_be_an_operation_of_the_server() {
        for name in ["@op/5/DISCONNECT_CLIENT", "@op/22", "@op/010/x", "@op/+1", "@op/2"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["A", "@op/0", "@op/7/A", "@op/x", "@op/0/@op/5", "@op/5.0", "@error"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\_]{0,60}") {
            let _ = decode(&bytes[..]);
            let _ = decode(text.as_bytes());
        }
    }
}
