//! The emit protocol: `{"event":…,"data":…,"ackId":…}`, and `{"type":"ack","ackId":…,"data":…}` in reply.
//!
//! Frames are the same in both directions, so servers and clients share this module. Specified in
//! `spec/emit.md`.

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_event::{Name, Payload};

use crate::DecodeError;
use crate::depth::is_shallow;
use crate::object::for_each_member;
use crate::text::{Text, write_text};

/// Maximum number of characters of an invalid name in a reply.
const SHOWN_CHARS: usize = 64;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event; with `ack`, the sender expects a reply.
    Event {
        /// The name.
        name: Name,
        /// The data; `{}` if the received value is falsy in JavaScript.
        data: Payload,
        /// The peer's correlation id: any JSON, echoed unchanged.
        ack: Option<Payload>,
    },
    /// An event that no handler can match: its name is not a string, is empty or too long, or begins with `@`,
    /// which is reserved for system events.
    Unroutable {
        /// The name, shortened for display.
        shown: String,
        /// The peer's correlation id.
        ack: Option<Payload>,
    },
    /// The reply to a request of this side.
    Reply {
        /// The id of the request.
        ack: Payload,
        /// The reply, unchanged; `null` if it is missing.
        data: Payload,
    },
    /// A frame of an unknown type.
    Other,
}

/// Decodes one message, text or binary.
pub fn decode(frame: &Bytes) -> Result<Incoming, DecodeError> {
    if !is_shallow(frame) {
        return Err(DecodeError::TooDeep);
    }
    let Envelope { event, data, ack, kind } = Envelope::read(frame)?;
    let slice = |raw: &RawValue| Payload::slice_of(frame, raw);
    let ack = ack.map(slice).filter(|ack| !ack.is_falsy());
    match kind.map(RawValue::get) {
        None | Some("null" | "\"\"") => {}
        Some(kind) if is_text(kind, "ack") => {
            let ack = ack.ok_or(DecodeError::MissingField("ackId"))?;
            return Ok(Incoming::Reply { ack, data: data.map_or(Payload::NULL, slice) });
        }
        Some(_) => return Ok(Incoming::Other),
    }
    let event = event.ok_or(DecodeError::MissingField("event"))?;
    let Some(name) = routable(event) else {
        return Ok(Incoming::Unroutable { shown: shown(event), ack });
    };
    let data = data.map(slice).filter(|data| !data.is_falsy()).unwrap_or(Payload::EMPTY);
    Ok(Incoming::Event { name, data, ack })
}

fn is_text(json: &str, wanted: &str) -> bool {
    serde_json::from_str::<Text<'_>>(json).is_ok_and(|text| text.0 == wanted)
}

fn routable(event: &RawValue) -> Option<Name> {
    let text: Text<'_> = serde_json::from_str(event.get()).ok()?;
    Name::new(&text.0).ok().filter(|name| !name.starts_with('@'))
}

/// A string as it is, any other value as JSON; shortened.
fn shown(event: &RawValue) -> String {
    let text = serde_json::from_str::<Text<'_>>(event.get());
    let whole = text.as_ref().map_or(event.get(), |text| &text.0);
    whole.chars().take(SHOWN_CHARS).collect()
}

/// `{"event":E,"data":D}`.
pub fn write_event(out: &mut Vec<u8>, name: &str, data: &Payload) {
    out.extend_from_slice(b"{\"event\":");
    write_text(out, name);
    write_data_and_end(out, data);
}

/// `{"event":E,"ackId":A,"data":D}`: a request, which expects a reply.
pub fn write_request(out: &mut Vec<u8>, name: &str, data: &Payload, ack_id: &str) {
    out.extend_from_slice(b"{\"event\":");
    write_text(out, name);
    out.extend_from_slice(b",\"ackId\":");
    write_text(out, ack_id);
    write_data_and_end(out, data);
}

/// `{"type":"ack","ackId":A,"data":R}`.
pub fn write_reply(out: &mut Vec<u8>, ack: &Payload, data: &Payload) {
    out.extend_from_slice(b"{\"type\":\"ack\",\"ackId\":");
    out.extend_from_slice(ack.as_bytes());
    write_data_and_end(out, data);
}

fn write_data_and_end(out: &mut Vec<u8>, data: &Payload) {
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
}

/// The known members of a frame; the last of duplicate members counts.
#[derive(Default)]
struct Envelope<'a> {
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    ack: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut envelope = Envelope::default();
        for_each_member(frame, |Text(key), value| match &*key {
            "event" => envelope.event = Some(value),
            "data" => envelope.data = Some(value),
            "ackId" => envelope.ack = Some(value),
            "type" => envelope.kind = Some(value),
            _ => {}
        })?;
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(frame: &str) -> Incoming {
        decode(&Bytes::copy_from_slice(frame.as_bytes())).unwrap_or_else(|error| panic!("{frame}: {error}"))
    }

    fn json(text: &str) -> Payload {
        Payload::parse(text).unwrap()
    }

    fn event(name: &str, data: &str, ack: Option<&str>) -> Incoming {
        Incoming::Event { name: Name::new(name).unwrap(), data: json(data), ack: ack.map(json) }
    }

    fn unroutable(shown: &str, ack: Option<&str>) -> Incoming {
        Incoming::Unroutable { shown: shown.into(), ack: ack.map(json) }
    }

    #[test]
    fn an_event_with_a_truthy_ack_id_is_a_request() {
        assert_eq!(read(r#"{"event":"/a","data":{"x":1}}"#), event("/a", r#"{"x":1}"#, None));
        for ack in ["1", "\"u-1\"", "{\"a\":1}", "[0]", "true"] {
            let frame = format!(r#"{{"event":"/a","ackId":{ack},"data":[1]}}"#);
            assert_eq!(read(&frame), event("/a", "[1]", Some(ack)));
        }
        for falsy in ["0", "\"\"", "null", "false"] {
            assert_eq!(read(&format!(r#"{{"event":"/a","ackId":{falsy}}}"#)), event("/a", "{}", None));
        }
    }

    #[test]
    fn falsy_data_becomes_an_empty_object_and_other_data_is_unchanged() {
        for falsy in ["0", "\"\"", "false", "null", "-0.0"] {
            assert_eq!(read(&format!(r#"{{"event":"/a","data":{falsy}}}"#)), event("/a", "{}", None));
        }
        for data in ["[]", "\" \"", "1e400", "12345678901234567890", "true", "{ \"a\" : [ ] }"] {
            assert_eq!(read(&format!(r#"{{"event":"/a","data":{data}}}"#)), event("/a", data, None));
        }
    }

    #[test]
    fn the_last_of_duplicate_members_counts() {
        assert_eq!(read(r#"{"event":"/a","data":1,"event":"/b","data":2}"#), event("/b", "2", None));
    }

    #[test]
    fn keys_and_names_may_have_escapes_and_unknown_members_are_ignored() {
        assert_eq!(read(r#"{"\u0065vent":"\u002fa","x":{"event":"/no"}}"#), event("/a", "{}", None));
    }

    #[test]
    fn a_system_event_or_an_invalid_name_is_unroutable() {
        assert_eq!(read(r#"{"event":"@disconnect","ackId":1}"#), unroutable("@disconnect", Some("1")));
        assert_eq!(read(r#"{"event":5}"#), unroutable("5", None));
        assert_eq!(read(r#"{"event":""}"#), unroutable("", None));
        assert_eq!(read(r#"{"event":null}"#), unroutable("null", None));
        assert_eq!(read(r#"{"event":"\ud800"}"#), unroutable(r#""\ud800""#, None));
        assert_eq!(read(r#"{"event":"\u0040any"}"#), unroutable("@any", None));
        let long = format!(r#"{{"event":"{}"}}"#, "é".repeat(200));
        assert_eq!(read(&long), unroutable(&"é".repeat(64), None));
    }

    #[test]
    fn a_reply_is_never_an_event_and_unknown_types_are_ignored() {
        let reply = |ack: &str, data: &str| Incoming::Reply { ack: json(ack), data: json(data) };
        assert_eq!(read(r#"{"type":"ack","ackId":"1","data":0,"event":"/a"}"#), reply("\"1\"", "0"));
        assert_eq!(read(r#"{"type":"ack","ackId":"1"}"#), reply("\"1\"", "null"));
        assert_eq!(read(r#"{"data":7,"ackId":[1],"type":"\u0061ck"}"#), reply("[1]", "7"));
        assert_eq!(read(r#"{"type":"","event":"/a"}"#), event("/a", "{}", None));
        assert_eq!(read(r#"{"type":null,"event":"/a"}"#), event("/a", "{}", None));
        assert_eq!(read(r#"{"type":"other","event":"/a"}"#), Incoming::Other);
        assert_eq!(read(r#"{"type":7,"event":"/a"}"#), Incoming::Other);
    }

    #[test]
    fn a_frame_that_is_not_an_object_is_an_error() {
        let deep = format!(r#"{{"event":"/a","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for bad in [
            "",
            "{",
            "null",
            "[]",
            "5",
            "\"x\"",
            "{}x",
            r#"{"data":1}"#,
            "{'event':1}",
            r#"{"event":tru}"#,
            &deep,
        ] {
            assert!(decode(&Bytes::copy_from_slice(bad.as_bytes())).is_err(), "{bad}");
        }
        assert!(decode(&Bytes::from_static(b"{\"event\":\"\xff\"}")).is_err());
        assert!(matches!(decode(&deep.into()), Err(DecodeError::TooDeep)));
    }

    proptest! {
        #[test]
        fn a_written_request_decodes_to_the_same(name in "[^@].{0,40}", data in "[1-9][0-9]{0,20}", id in ".{1,9}") {
            let (data, mut out) = (json(&data), Vec::new());
            write_request(&mut out, &name, &data, &id);
            let ack = Some(Payload::of(&id).unwrap());
            let name = Name::new(&name).unwrap();
            prop_assert_eq!(decode(&out.into()).unwrap(), Incoming::Event { name, data, ack });
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\]{0,60}") {
            let _ = decode(&bytes.into());
            let _ = decode(&text.into_bytes().into());
        }
    }

    #[test]
    fn frame_members_keep_the_order_of_the_original_clients() {
        let mut out = Vec::new();
        write_reply(&mut out, &json("{\"a\":1}"), &json("true"));
        write_event(&mut out, "a\"b", &Payload::EMPTY);
        assert_eq!(out, br#"{"type":"ack","ackId":{"a":1},"data":true}{"event":"a\"b","data":{}}"#);
    }
}
