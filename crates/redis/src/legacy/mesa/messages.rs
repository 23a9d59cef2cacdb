//! Messages on the channel of original Mesa servers and Dispatchers. Data is passed on byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Number;
use serde_json::value::RawValue;
use switchboard_backplane::Content;
use switchboard_event::json::{Text, for_each_member};
use switchboard_event::{Audience, Event, Name, NodeId, OverflowPolicy, Payload, Target, UserId};
use switchboard_wire::mesa::{event_name, is_reserved, op_and_type};

use crate::legacy::servers::{LegacyDecodeError, data, now_ms, text, write_json_string};

/// First member of the messages of Switchboard nodes. Original servers ignore it.
const OURS: &str = "switchboard";

/// The recipient that stands for everyone.
pub(super) const EVERYONE: &str = "*";

/// The operation of messages between servers, which clients never receive.
const INTERNAL: i64 = 5;

/// The only internal message that is used: it closes the recipients' sockets with [`NORMAL`].
const DISCONNECT: &str = "DISCONNECT_CLIENT";

/// Close code of a normal closure.
const NORMAL: u16 = 1000;

/// Whether a Switchboard node sent the message. Only its first bytes are read.
pub(super) fn is_ours(message: &[u8]) -> bool {
    let member = message.strip_prefix(b"{\"").and_then(|rest| rest.strip_prefix(OURS.as_bytes()));
    member.is_some_and(|rest| rest.starts_with(b"\":"))
}

/// Encodes an event for some users or for everyone. `None` if it is an event of a client whose name stands for an
/// operation of servers, such as the one that closes sockets.
pub(super) fn encode(node: NodeId, event: &Event, recipients: &[&str]) -> Option<Vec<u8>> {
    if event.sender.is_some() && is_reserved(&event.name) {
        return None;
    }
    let (op, kind) = op_and_type(&event.name);
    Some(wrap(node, op, &event.data, kind, recipients))
}

/// Encodes the instruction to close the recipients' sockets.
pub(super) fn encode_close(node: NodeId, recipients: &[&str]) -> Vec<u8> {
    wrap(node, INTERNAL, &Payload::EMPTY, Some(DISCONNECT), recipients)
}

/// Encodes a message of a dispatcher, given as JSON, for everyone except some users. Original servers send it to
/// everyone.
pub(super) fn to_everyone_except(message: &str, excluding: &[&str]) -> String {
    let excluding = serde_json::to_string(excluding).expect("strings are JSON");
    format!(r#"{{"message":{message},"recipients":["{EVERYONE}"],"excluding":{excluding}}}"#)
}

fn wrap(node: NodeId, op: i64, data: &Payload, kind: Option<&str>, recipients: &[&str]) -> Vec<u8> {
    let head = format!("{{\"{OURS}\":\"{node}\",\"message\":{{\"op\":{op},\"d\":");
    let mut out = Vec::with_capacity(head.len() + data.as_bytes().len() + 64);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(data.as_bytes());
    if let Some(kind) = kind {
        out.extend_from_slice(b",\"t\":");
        write_json_string(&mut out, kind);
    }
    out.extend_from_slice(b"},\"recipients\":");
    serde_json::to_writer(&mut out, recipients).expect("strings are JSON, and a Vec accepts all bytes");
    out.push(b'}');
    out
}

/// The known members of a publication; the last of repeated members counts.
#[derive(Default)]
struct Envelope<'a> {
    ours: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    recipients: Option<&'a RawValue>,
    /// Users that do not receive the message, for a message to everyone. An extension of Switchboard.
    excluding: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn read(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut envelope = Envelope::default();
        for_each_member(json, |name, value| match name.unescape().as_deref() {
            Some(OURS) => envelope.ours = Some(value),
            Some("message") => envelope.message = Some(value),
            Some("recipients") => envelope.recipients = Some(value),
            Some("excluding") => envelope.excluding = Some(value),
            _ => {}
        })?;
        Ok(envelope)
    }
}

/// A message as it is published and stored. Its options, which are for Dispatchers, are ignored.
#[derive(Default)]
pub(super) struct Message<'a> {
    op: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    pub(super) fn read(json: &'a RawValue) -> Result<Self, serde_json::Error> {
        let mut message = Message::default();
        for_each_member(json.get().as_bytes(), |name, value| match name.unescape().as_deref() {
            Some("op") => message.op = Some(value),
            Some("d") => message.data = Some(value),
            Some("t") => message.kind = Some(value),
            _ => {}
        })?;
        Ok(message)
    }

    /// The operation. A number like 2.0 is accepted.
    fn op(&self) -> Result<i64, LegacyDecodeError> {
        let op = self.op.ok_or(LegacyDecodeError::Invalid("there is no operation"))?;
        let op: f64 = serde_json::from_str(op.get())?;
        let is_whole = op.fract() == 0.0 && op.abs() < i64::MAX as f64;
        is_whole.then_some(op as i64).ok_or(LegacyDecodeError::Invalid("the operation is not a whole number"))
    }

    /// The event, which shares the buffer. `None` if the message is not for clients.
    pub(super) fn event(&self, buffer: &Bytes) -> Result<Option<Event>, LegacyDecodeError> {
        let op = self.op()?;
        if op == INTERNAL {
            return Ok(None);
        }
        let kind = text(self.kind)?.map(|kind| Name::new(&kind)).transpose()?;
        let name = event_name(op, kind.as_ref())?;
        let data = data(buffer, self.data.filter(|data| data.get() != "null"))?;
        Ok(Some(Event { name, data, sender: None, time_ms: now_ms(), trace: None }))
    }

    fn content(&self, buffer: &Bytes) -> Result<Option<Content>, LegacyDecodeError> {
        if let Some(event) = self.event(buffer)? {
            return Ok(Some(Content::Event { event, policy: OverflowPolicy::Live, position: None }));
        }
        let is_close = text(self.kind)?.as_deref() == Some(DISCONNECT);
        Ok(is_close.then(|| Content::Close { code: NORMAL, reason: "".into() }))
    }
}

/// Decodes a message. `None` if it is one of ours, has no recipients, or is of an unknown kind.
pub(super) fn decode(bytes: &Bytes) -> Result<Option<(Audience, Content)>, LegacyDecodeError> {
    let Envelope { ours, message, recipients, excluding } = Envelope::read(bytes)?;
    if ours.is_some() {
        return Ok(None);
    }
    let message = message.ok_or(LegacyDecodeError::Invalid("there is no message"))?;
    let recipients = recipients.ok_or(LegacyDecodeError::Invalid("there are no recipients"))?;
    let content = Message::read(message)?.content(bytes)?;
    let to = targets(recipients)?;
    let except = excluding.map(targets).transpose()?.unwrap_or_default();
    Ok(content.filter(|_| !to.is_empty()).map(|content| (Audience { to, except }, content)))
}

/// The targets of a list of ids: everyone, or each user once. Invalid ids are left out.
fn targets(ids: &RawValue) -> Result<Vec<Target>, serde_json::Error> {
    let ids: Vec<&RawValue> = serde_json::from_str(ids.get())?;
    let mut users: Vec<UserId> = Vec::with_capacity(ids.len());
    for id in ids.iter().filter_map(|id| id_of(id)) {
        if id == EVERYONE {
            return Ok(vec![Target::Everyone]);
        }
        users.extend(UserId::new(&id));
    }
    users.sort_unstable();
    users.dedup();
    Ok(users.into_iter().map(Target::User).collect())
}

/// The id as text. A number is formatted as JavaScript does it.
fn id_of(json: &RawValue) -> Option<Cow<'_, str>> {
    if let Some(text) = Text::of(json) {
        return text.unescape();
    }
    let number: Number = serde_json::from_str(json.get()).ok()?;
    let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
    Some(whole.map_or_else(|| number.to_string(), |number| format!("{number:.0}")).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchboard_event::SocketId;

    use super::*;

    fn decoded(message: &str) -> Result<Option<(Audience, Content)>, LegacyDecodeError> {
        decode(&Bytes::copy_from_slice(message.as_bytes()))
    }

    fn shown(message: &str) -> String {
        let Some((audience, content)) = decoded(message).unwrap() else { return "nothing".into() };
        let list =
            |targets: &[Target]| targets.iter().map(Target::to_string).collect::<Vec<String>>().join(", ");
        let except = match &audience.except[..] {
            [] => String::new(),
            targets => format!(" except {}", list(targets)),
        };
        let shown = match content {
            Content::Event { event, .. } => format!("{} {:?}", event.name, event.data),
            Content::Close { code, .. } => format!("close {code}"),
            other => panic!("{other:?}"),
        };
        format!("{}{except}: {shown}", list(&audience.to))
    }

    #[test]
    fn a_message_of_an_original_server_is_decoded() {
        for (message, expected) in [
            (
                r#"{"message":{"op":0,"d":{"x": 1e400},"t":"E","o":{"sync":true}},"recipients":["2","1","2"]}"#,
                "user 1, user 2: E {\"x\": 1e400}",
            ),
            (r#"{"recipients":["1","*"],"message":{"t":"E","op":0.0}}"#, "everyone: E {}"),
            (
                r#"{"message":{"op":7,"d":[],"t":null},"recipients":[7,8.0,-1]}"#,
                "user -1, user 7, user 8: @op/7 []",
            ),
            (
                r#"{"message":{"op":0,"d":"\u0061","t":"\u0045"},"recipients":["",null,[],"\u00e9"]}"#,
                "user é: E \"\\u0061\"",
            ),
            (
                r#"{"message":{"op":5,"d":{},"t":"DISCONNECT_CLIENT"},"recipients":["1"]}"#,
                "user 1: close 1000",
            ),
            (r#"{"message":{"op":5,"t":"DISCONNECT_CLIENT"},"recipients":["*"]}"#, "everyone: close 1000"),
            (
                r#"{"message":{"op":0,"t":"E"},"recipients":["*"],"excluding":["2",1,null,"2"]}"#,
                "everyone except user 1, user 2: E {}",
            ),
            (r#"{"message":{"op":5,"t":"RESTART"},"recipients":["*"]}"#, "nothing"),
            (r#"{"message":{"op":5},"recipients":["*"]}"#, "nothing"),
            (r#"{"message":{"op":0,"t":"E"},"recipients":[]}"#, "nothing"),
            (
                r#"{"\ud800":0,"message":{"\udc00":0,"op":1,"op":0,"t":"E"},"recipients":["\ud800","1"]}"#,
                "user 1: E {}",
            ),
        ] {
            assert_eq!(shown(message), expected, "{message}");
        }
    }

    #[test]
    fn our_messages_are_those_of_originals_and_are_ignored_by_us() {
        let (name, data) = (Name::new("@op/7/A\"").unwrap(), Payload::parse("{\"t\": 1e400}").unwrap());
        let event = Event { name, data, sender: None, time_ms: 7, trace: None };
        let message = String::from_utf8(encode(NodeId(7), &event, &["1", "\""]).unwrap()).unwrap();
        let rest = r#""message":{"op":7,"d":{"t": 1e400},"t":"A\""},"recipients":["1","\""]}"#;
        assert_eq!(message, format!(r#"{{"switchboard":"00000007",{rest}"#));
        assert!(is_ours(message.as_bytes()));
        assert!(decoded(&message).unwrap().is_none());
        assert_eq!(shown(&format!("{{{rest}")), "user \", user 1: @op/7/A\" {\"t\": 1e400}");
        let reordered = format!(r#"{{ "switch\u0062oard" : 7, {rest}"#);
        assert!(!is_ours(reordered.as_bytes()));
        assert!(decoded(&reordered).unwrap().is_none());
        let close = String::from_utf8(encode_close(NodeId(7), &["*"])).unwrap();
        let expected = r#""message":{"op":5,"d":{},"t":"DISCONNECT_CLIENT"},"recipients":["*"]}"#;
        assert_eq!(close, format!(r#"{{"switchboard":"00000007",{expected}"#));
    }

    #[test]
    fn a_client_cannot_send_an_operation_of_servers() {
        let encoded = |name: &str, sender| {
            let event = Event {
                name: Name::new(name).unwrap(),
                data: Payload::EMPTY,
                sender,
                time_ms: 7,
                trace: None,
            };
            encode(NodeId(7), &event, &["1"])
        };
        let client = Some(SocketId::random());
        for name in ["@op/5/DISCONNECT_CLIENT", "@op/05/DISCONNECT_CLIENT", "@op/22"] {
            assert_eq!(encoded(name, client), None, "{name}");
        }
        assert!(encoded("@op/7", client).is_some() && encoded("A", client).is_some());
        assert!(encoded("@op/22", None).is_some(), "backends may");
    }

    #[test]
    fn an_invalid_message_is_refused() {
        let long = format!(r#"{{"message":{{"op":0,"t":"{}"}},"recipients":["*"]}}"#, "x".repeat(257));
        let deep = |levels: usize| {
            let data = "[".repeat(levels) + &"]".repeat(levels);
            format!(r#"{{"message":{{"op":0,"d":{data},"t":"E"}},"recipients":["*"]}}"#)
        };
        assert!(decoded(&deep(63)).is_ok());
        for message in [
            "",
            "{bad",
            "null",
            "[]",
            "{}",
            "7",
            r#"{"message":{"op":0,"t":"E"}}"#,
            r#"{"message":{"op":0,"t":"E"},"recipients":"*"}"#,
            r#"{"message":{"op":0,"t":"E"},"recipients":null}"#,
            r#"{"message":{"op":0,"t":"E"},"recipients":{"0":"*"}}"#,
            r#"{"message":{"op":0,"t":"E"},"recipients":["*"],"excluding":"1"}"#,
            r#"{"message":null,"recipients":["*"]}"#,
            r#"{"message":[0],"recipients":["*"]}"#,
            r#"{"message":{"d":{},"t":"E"},"recipients":["*"]}"#,
            r#"{"message":{"op":"0","t":"E"},"recipients":["*"]}"#,
            r#"{"message":{"op":0.5,"t":"E"},"recipients":["*"]}"#,
            r#"{"message":{"op":1e300,"t":"E"},"recipients":["*"]}"#,
            r#"{"message":{"op":0,"t":7},"recipients":["*"]}"#,
            r#"{"message":{"op":0,"t":""},"recipients":["*"]}"#,
            r#"{"message":{"op":0,"d":},"recipients":["*"]}"#,
            &long,
            &deep(64),
            r#"{"message":{"op":0,"t":"\ud800"},"recipients":["*"]}"#,
        ] {
            assert!(decoded(message).is_err(), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>, id in "[\\[\\]{}\":,.a-z0-9\\\\-]{0,20}") {
            let _ = is_ours(&bytes);
            let _ = decode(&bytes.into());
            let message = format!(r#"{{"message":{{"op":0}},"recipients":[{id}]}}"#);
            let _ = decode(&message.into_bytes().into());
        }
    }
}
