//! Mesa: `{"op":0,"d":…,"t":…}` both ways, and a few numbered operations of its own.
//!
//! The protocol is written down in `spec/mesa.md`.

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_event::{Name, NameError, Payload};

use crate::DecodeError;
use crate::depth::is_shallow;
use crate::object::for_each_member;
use crate::text::{Text, write_fmt, write_text};

mod event_name;

pub use event_name::{event_name, op_and_type};

/// The numbers that the protocol gives its operations.
pub mod op {
    /// A message, either way.
    pub const DISPATCH: i64 = 0;
    /// The server asks whether the client is there.
    pub const HEARTBEAT: i64 = 1;
    /// A client shows who its user is.
    pub const AUTHENTICATE: i64 = 2;
    /// Between servers only.
    pub const INTERNAL: i64 = 5;
    /// The server's first words.
    pub const HELLO: i64 = 10;
    /// The client is there.
    pub const HEARTBEAT_ACK: i64 = 11;
    /// The client's user is known now.
    pub const AUTHENTICATED: i64 = 22;
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Something for the application.
    Message(Message),
    /// The client shows a token. What it says it with cannot always be one.
    Authenticate {
        /// The token, if there is one.
        token: Option<String>,
        /// Whether it wants the messages that it missed.
        should_sync: bool,
    },
    /// The client asks whether the server is there.
    Heartbeat,
    /// The client is there.
    HeartbeatAck,
    /// An operation that only a server says: it means nothing from a client.
    Other,
}

/// A message as it is on the wire, without the number of a redelivered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The operation; [`op::DISPATCH`] for what applications say.
    pub op: i64,
    /// The type, `t`.
    pub kind: Option<Name>,
    /// The data, `d`; `{}` where there is none.
    pub data: Payload,
}

/// Reads one message, text or binary.
pub fn decode(frame: &Bytes) -> Result<Incoming, DecodeError> {
    if !is_shallow(frame) {
        return Err(DecodeError::TooDeep);
    }
    let envelope = Envelope::read(frame)?;
    Ok(match envelope.op()? {
        op::AUTHENTICATE => envelope.authenticate(),
        op::HEARTBEAT => Incoming::Heartbeat,
        op::HEARTBEAT_ACK => Incoming::HeartbeatAck,
        op::INTERNAL | op::HELLO | op::AUTHENTICATED => Incoming::Other,
        op => Incoming::Message(envelope.message(op, frame)?),
    })
}

/// Reads a message that a backend wrote, whatever its operation.
pub fn decode_message(json: &Bytes) -> Result<Message, DecodeError> {
    if !is_shallow(json) {
        return Err(DecodeError::TooDeep);
    }
    let envelope = Envelope::read(json)?;
    envelope.message(envelope.op()?, json)
}

impl Message {
    /// Its name as an event; see [`event_name`]. [`write_event`] takes it apart again.
    pub fn name(&self) -> Result<Name, NameError> {
        event_name(self.op, self.kind.as_ref())
    }
}

/// Writes an event; `number` counts the redelivered ones of a login from 1.
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

/// What a server says first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// How often it asks whether the client is there, in milliseconds; none if it does not.
    pub heartbeat_ms: Option<u64>,
    /// After how long the client connects again, in milliseconds; none if it does not.
    pub reconnect_ms: Option<u64>,
    /// How long it waits for a token, in milliseconds.
    pub authentication_ms: u64,
    /// What the server does, such as `sends_user_object`.
    pub rules: Vec<&'static str>,
}

/// Writes the first frame. `rules` is always there: clients fail without it.
pub fn write_hello(out: &mut Vec<u8>, hello: &Hello) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":{{", op::HELLO));
    if let Some(ms) = hello.heartbeat_ms {
        write_fmt(out, format_args!("\"c_heartbeat_interval\":{ms},"));
    }
    if let Some(ms) = hello.reconnect_ms {
        write_fmt(out, format_args!("\"c_reconnect_interval\":{ms},"));
    }
    write_fmt(out, format_args!("\"c_authentication_timeout\":{},\"rules\":", hello.authentication_ms));
    serde_json::to_writer(&mut *out, &hello.rules).expect("texts are JSON and a Vec takes everything");
    out.extend_from_slice(b"}}");
}

/// Writes a heartbeat: the first of its kind, or a try of at most so many.
pub fn write_heartbeat(out: &mut Vec<u8>, tries: Option<(u32, u32)>) {
    match tries {
        None => write_fmt(out, format_args!("{{\"op\":{},\"d\":{{}}}}", op::HEARTBEAT)),
        Some((tries, most)) => {
            let op = op::HEARTBEAT;
            write_fmt(out, format_args!("{{\"op\":{op},\"d\":{{\"tries\":{tries},\"max\":{most}}}}}"));
        }
    }
}

/// Writes the answer to a client's heartbeat.
pub fn write_heartbeat_ack(out: &mut Vec<u8>) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":{{}}}}", op::HEARTBEAT_ACK));
}

/// Writes that the user is known: `user` is the object shown to the client.
pub fn write_authenticated(out: &mut Vec<u8>, user: &Payload) {
    write_fmt(out, format_args!("{{\"op\":{},\"d\":", op::AUTHENTICATED));
    out.extend_from_slice(user.as_bytes());
    out.push(b'}');
}

/// The members of a frame that mean something; of one that comes twice the last counts.
#[derive(Default)]
struct Envelope<'a> {
    op: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut envelope = Envelope::default();
        for_each_member(frame, |Text(key), value| match &*key {
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
        // JavaScript writes and takes 2.0 and 2e0 for 2.
        let number: f64 = serde_json::from_str(op.get()).map_err(|_| wrong())?;
        let is_whole = number.fract() == 0.0 && number.abs() < i64::MAX as f64;
        is_whole.then_some(number as i64).ok_or_else(wrong)
    }

    fn authenticate(&self) -> Incoming {
        let (mut token, mut should_sync) = (None, true);
        let data = self.data.map_or("", RawValue::get);
        let shown = for_each_member(data.as_bytes(), |Text(key), value| match &*key {
            "token" => token = serde_json::from_str(value.get()).ok(),
            "shouldSync" => should_sync = value.get() != "false",
            _ => {}
        });
        // What is no object shows nothing.
        drop(shown);
        Incoming::Authenticate { token, should_sync }
    }

    fn message(&self, op: i64, frame: &Bytes) -> Result<Message, DecodeError> {
        let is_null = |raw: &RawValue| raw.get() == "null";
        let data = self.data.filter(|data| !is_null(data));
        let data = data.map_or(Payload::EMPTY, |data| Payload::slice_of(frame, data));
        let kind = self.kind.filter(|kind| !is_null(kind)).map(read_kind).transpose()?;
        Ok(Message { op, kind, data })
    }
}

fn read_kind(kind: &RawValue) -> Result<Name, DecodeError> {
    let text: Option<Text<'_>> = serde_json::from_str(kind.get()).ok();
    let name = text.and_then(|text| Name::new(&text.0).ok());
    name.ok_or(DecodeError::WrongField { field: "t", expected: "a text of 1 to 256 bytes" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn try_read(frame: &str) -> Result<Incoming, DecodeError> {
        decode(&Bytes::copy_from_slice(frame.as_bytes()))
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
    fn messages_and_unknown_operations_are_the_applications() {
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
    fn only_servers_say_some_operations() {
        for op in [5, 10, 22] {
            let frame = format!(r#"{{"op":{op},"t":"DISCONNECT_CLIENT"}}"#);
            assert_eq!(try_read(&frame).unwrap(), Incoming::Other);
        }
        assert_eq!(try_read(r#"{"op":1,"d":{}}"#).unwrap(), Incoming::Heartbeat);
        assert_eq!(try_read(r#"{"op":11}"#).unwrap(), Incoming::HeartbeatAck);
    }

    #[test]
    fn a_login_has_a_token_or_fails_later() {
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
    fn what_is_no_frame_is_an_error() {
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
    fn frames_are_as_the_clients_expect_them() {
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
    fn an_operation_and_a_missing_type_survive_as_a_name() {
        for (op, kind, name) in [
            (0, Some("PING"), "PING"),
            (0, None, "@op/0"),
            (7, None, "@op/7"),
            (-7, Some("a/b"), "@op/-7/a/b"),
            (0, Some("@op/5"), "@op/0/@op/5"),
        ] {
            let said = message(op, kind, r#"{"n":1}"#);
            assert_eq!(&*said.name().unwrap(), name);
            let frame = written(|out| write_event(out, name, &said.data, None));
            assert_eq!(decode(&frame.to_string().into_bytes().into()).unwrap(), Incoming::Message(said));
        }
        assert!(message(7, Some(&"x".repeat(256)), "{}").name().is_err());
        let as_it_is = written(|out| write_event(out, "@op/x", &Payload::EMPTY, None));
        assert_eq!(as_it_is, json!({ "op": 0, "d": {}, "t": "@op/x" }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\_]{0,60}") {
            let _ = decode(&bytes.into());
            let _ = decode(&text.into_bytes().into());
        }
    }
}
