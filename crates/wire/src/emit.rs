//! The emit protocol: `{"event":…,"data":…,"ackId":…}`, and `{"type":"ack","ackId":…,"data":…}` in reply.
//!
//! Frames are the same in both directions, so servers and clients share this module. Specified in
//! `spec/emit.md`.

use switchboard_event::json::Raw;
use switchboard_event::{Buffer, Name, Payload, Position, RoomName};

use crate::DecodeError;
use crate::envelope::{read_members, text_of};
use crate::mesa::OP_PREFIX;
use crate::write::{write_position, write_text};

/// Maximum number of characters of an invalid name in a reply.
const SHOWN_CHARS: usize = 64;

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event; with `ack`, the sender expects a reply.
    Event {
        /// The name.
        name: Name,
        /// The data, unchanged; `null` if it is missing.
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
    /// `@identify`: the peer shows a token.
    Identify {
        /// The token; `None` if the data has none.
        token: Option<String>,
        /// The peer's correlation id, if it expects an answer.
        ack: Option<Payload>,
    },
    /// `@history`: the peer requests messages that a room keeps.
    History {
        /// The request.
        data: Payload,
        /// The peer's correlation id, if it expects an answer.
        ack: Option<Payload>,
    },
    /// `@resume`: the peer has resumed its session, and shows the last position that it knows of each room.
    Resume {
        /// The positions.
        data: Payload,
        /// The peer's correlation id, which is not used.
        ack: Option<Payload>,
    },
    /// An event that only servers send, about the connection itself.
    Notice {
        /// The name: one of [`NOTICES`].
        name: &'static str,
        /// The data.
        data: Payload,
        /// The peer's correlation id, which no server sends.
        ack: Option<Payload>,
    },
    /// The reply to a request of this side.
    Reply {
        /// The id of the request.
        ack: Payload,
        /// The reply, unchanged; `null` if it is missing.
        data: Payload,
    },
}

/// Decodes one message, text or binary.
pub fn decode<'a>(frame: impl Into<Buffer<'a>>) -> Result<Incoming, DecodeError> {
    let frame = frame.into();
    let Envelope { event, data, ack, kind } = Envelope::read(frame.as_bytes())?;
    let slice = |raw: Raw<'_>| Payload::part_of(frame, raw);
    let ack = ack.map(slice).filter(|ack| !ack.is_falsy());
    if kind.and_then(text_of).as_deref() == Some("ack") {
        let ack = ack.ok_or(DecodeError::MissingField("ackId"))?;
        return Ok(Incoming::Reply { ack, data: data.map_or(Payload::NULL, slice) });
    }
    let event = event.ok_or(DecodeError::MissingField("event"))?;
    let Some(name) = routable(event) else {
        if text_of(event).as_deref() == Some(IDENTIFY) {
            let token = data.map(slice).and_then(|data| data.member("token")?.to_text().map(String::from));
            return Ok(Incoming::Identify { token, ack });
        }
        if text_of(event).as_deref() == Some(HISTORY) {
            return Ok(Incoming::History { data: data.map_or(Payload::NULL, slice), ack });
        }
        if text_of(event).as_deref() == Some(RESUME) {
            return Ok(Incoming::Resume { data: data.map_or(Payload::NULL, slice), ack });
        }
        let notice = text_of(event).and_then(|name| NOTICES.into_iter().find(|notice| *notice == name));
        if let Some(name) = notice {
            return Ok(Incoming::Notice { name, data: data.map_or(Payload::NULL, slice), ack });
        }
        return Ok(Incoming::Unroutable { shown: shown(event), ack });
    };
    Ok(Incoming::Event { name, data: data.map_or(Payload::NULL, slice), ack })
}

/// The event with which a client shows a token.
const IDENTIFY: &str = "@identify";

/// The event with which a client requests messages that a room keeps.
const HISTORY: &str = "@history";

/// The event with which a client that has resumed its session shows positions.
const RESUME: &str = "@resume";

/// The events of a server about the connection itself, to clients that understand them: the session and its ticket, the
/// outcome of the login by a token of the handshake, the position of a room that was joined, memberships that were lost with a right, the
/// end of a recovery, the stop of the server, lost messages, and events that a rate rule refused.
pub const NOTICES: [&str; 8] =
    ["@session", "@identified", "@joined", "@left", "@recovered", "@goaway", "@gap", "@refused"];

fn routable(event: Raw<'_>) -> Option<Name> {
    Name::new(&text_of(event)?).ok().filter(|name| !name.starts_with('@'))
}

/// A string as it is, any other value as JSON; shortened.
fn shown(event: Raw<'_>) -> String {
    let text = text_of(event);
    text.as_deref().unwrap_or(event.get()).chars().take(SHOWN_CHARS).collect()
}

/// Returns true if clients must not receive an event of this name. They raise events whose names begin with `@`
/// themselves, so an event of others must not look like one. Names of Mesa's operations, such as `@op/7`, are
/// not among them.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with('@') && !name.starts_with(OP_PREFIX)
}

/// `{"event":E,"data":D}`.
pub fn write_event(out: &mut Vec<u8>, name: &str, data: &Payload) {
    out.extend_from_slice(b"{\"event\":");
    write_text(out, name);
    write_data_and_end(out, data);
}

/// `{"event":E,"room":R,"position":P,"data":D}`: an event with its place in the history of its room.
pub fn write_recorded(out: &mut Vec<u8>, name: &str, data: &Payload, room: &RoomName, position: Position) {
    out.extend_from_slice(b"{\"event\":");
    write_text(out, name);
    write_position(out, room, position);
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
    event: Option<Raw<'a>>,
    data: Option<Raw<'a>>,
    ack: Option<Raw<'a>>,
    kind: Option<Raw<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Envelope::default();
        read_members(frame, |name, value| match name {
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
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn read(frame: &str) -> Incoming {
        let shared = decode(&Bytes::copy_from_slice(frame.as_bytes()));
        let incoming = decode(frame.as_bytes()).unwrap_or_else(|error| panic!("{frame}: {error}"));
        assert_eq!(shared.unwrap(), incoming);
        incoming
    }

    fn json(text: &str) -> Payload {
        Payload::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_read_from_identify_and_from_nothing_else() {
        let identify = |token: Option<&str>, ack: Option<&str>| Incoming::Identify {
            token: token.map(String::from),
            ack: ack.map(json),
        };
        for (frame, expected) in [
            (r#"{"event":"@identify","data":{"token":"abc"},"ackId":1}"#, identify(Some("abc"), Some("1"))),
            (r#"{"event":"\u0040identify","data":{"token":"a\u0062c"}}"#, identify(Some("abc"), None)),
            (r#"{"event":"@identify","data":{"token":7}}"#, identify(None, None)),
            (r#"{"event":"@identify","data":"abc"}"#, identify(None, None)),
            (r#"{"event":"@identify"}"#, identify(None, None)),
        ] {
            assert_eq!(read(frame), expected, "{frame}");
        }
        for frame in [r#"{"event":"@identity","data":{"token":"abc"}}"#, r#"{"event":"@identify/x"}"#] {
            assert!(matches!(read(frame), Incoming::Unroutable { .. }), "{frame}");
        }
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
            assert_eq!(read(&format!(r#"{{"event":"/a","ackId":{falsy}}}"#)), event("/a", "null", None));
        }
    }

    #[test]
    fn data_is_unchanged() {
        for data in ["0", "\"\"", "false", "null", "-0.0"] {
            assert_eq!(read(&format!(r#"{{"event":"/a","data":{data}}}"#)), event("/a", data, None));
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
        assert_eq!(read(r#"{"\u0065vent":"\u002fa","x":{"event":"/no"}}"#), event("/a", "null", None));
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
    fn a_reply_is_never_an_event_and_any_other_type_is_ignored() {
        let reply = |ack: &str, data: &str| Incoming::Reply { ack: json(ack), data: json(data) };
        assert_eq!(read(r#"{"type":"ack","ackId":"1","data":0,"event":"/a"}"#), reply("\"1\"", "0"));
        assert_eq!(read(r#"{"type":"ack","ackId":"1"}"#), reply("\"1\"", "null"));
        assert_eq!(read(r#"{"data":7,"ackId":[1],"type":"\u0061ck"}"#), reply("[1]", "7"));
        for other in
            ["\"\"", "null", "\"event\"", "\"ACK\"", "\"\\ud800\"", "7", "[\"ack\"]", "{\"type\":\"ack\"}"]
        {
            let frame = format!(r#"{{"type":{other},"event":"/a","ackId":1,"data":[]}}"#);
            assert_eq!(read(&frame), event("/a", "[]", Some("1")));
        }
    }

    #[test]
    fn names_and_values_that_rust_cannot_represent_do_not_hide_the_frame() {
        let frame = r#"{"event":"/ping","x\ud83d":1,"ackId":"\udc00","data":{"\ud800":"\ud800"}}"#;
        assert_eq!(read(frame), event("/ping", r#"{"\ud800":"\ud800"}"#, Some(r#""\udc00""#)));
    }

    #[test]
    fn no_event_looks_like_one_that_a_client_raises_itself() {
        assert!(
            ["@disconnect", "@error", "@", "@@KOJI_DISPATCH/CONNECTED", "@op"]
                .iter()
                .all(|name| is_reserved(name))
        );
        assert!(!["message", "/@", "a@", "@op/7", "@op/0/A"].iter().any(|name| is_reserved(name)));
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
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(decode(&b"{\"event\":\"\xff\"}"[..]).is_err());
        assert!(matches!(decode(deep.as_bytes()), Err(DecodeError::TooDeep)));
    }

    proptest! {
        #[test]
        fn a_written_request_decodes_to_the_same(name in "[^@].{0,40}", data in "0|[1-9][0-9]{0,20}", id in ".{1,9}") {
            let (data, mut out) = (json(&data), Vec::new());
            write_request(&mut out, &name, &data, &id);
            let ack = Some(Payload::of(&id).unwrap());
            let name = Name::new(&name).unwrap();
            prop_assert_eq!(decode(&out[..]).unwrap(), Incoming::Event { name, data, ack });
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\]{0,60}") {
            let _ = decode(&bytes[..]);
            let _ = decode(text.as_bytes());
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
