//! Frames of Koji clients.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use switchboard_event::json::{Raw, Text, for_each_raw_member};
use switchboard_event::{Buffer, Name, Payload};

use super::{PLATFORM, PLATFORM_EXTENSION, is_reserved};
use crate::DecodeError;
use crate::envelope::{read_members, text_of};

/// Longest message, in UTF-16 units. The original clients refuse to send more.
pub const MESSAGE_UNITS_MAX: usize = 128_000;

/// Maximum number of recipients of a message. The longest message has space for 3,281 ids of clients.
pub const RECIPIENTS_MAX: usize = 4096;

/// Bounds on one message of a client.
#[derive(Debug, Clone, Copy)]
pub struct MessageBounds {
    /// Longest message, in UTF-16 units; by default [`MESSAGE_UNITS_MAX`].
    pub units_max: usize,
    /// Most recipients, repeated ones counted each time; by default [`RECIPIENTS_MAX`].
    pub recipients_max: usize,
}

impl Default for MessageBounds {
    fn default() -> Self {
        MessageBounds { units_max: MESSAGE_UNITS_MAX, recipients_max: RECIPIENTS_MAX }
    }
}

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event for other clients.
    Event {
        /// The name.
        name: Name,
        /// The data; `{}` if missing.
        payload: Payload,
        /// The ids of the receiving clients or users; `None` for the sender's shard.
        recipients: Option<Vec<Name>>,
    },
    /// The client sets its user info: an object that other clients can read.
    SetUserInfo(Payload),
    /// The client authenticates with a token; `None` if it sent none.
    Identify(Option<String>),
    /// The client missed a change and requests the whole member list.
    GetClients,
    /// The client requests messages that a room keeps.
    History(Payload),
    /// The client has resumed its session, and shows the last position that it knows of each room.
    Resume(Payload),
}

/// Decodes one message, text or binary. A message over a bound is refused.
pub fn decode<'a>(frame: impl Into<Buffer<'a>>, bounds: MessageBounds) -> Result<Incoming, DecodeError> {
    let MessageBounds { units_max, recipients_max } = bounds;
    let buffer = frame.into();
    let frame = buffer.as_bytes();
    // A text never has more UTF-16 units than bytes.
    if frame.len() > units_max && utf16_units(frame) > units_max {
        return Err(DecodeError::TooLong { max: units_max });
    }
    let Envelope { event_name, payload, recipients } = Envelope::read(frame)?;
    let payload =
        payload.map(|raw| Payload::part_of(buffer, raw)).filter(|payload| *payload != Payload::NULL);
    let wrong_name = DecodeError::WrongField { field: "eventName", expected: "a string of 1 to 256 bytes" };
    let event_name = event_name.ok_or(DecodeError::MissingField("eventName"))?;
    let Some(event_name) = text_of(event_name) else { return Err(wrong_name) };
    if let Some(action) = event_name.strip_prefix(PLATFORM) {
        return platform(action, payload);
    }
    match event_name.strip_prefix(PLATFORM_EXTENSION) {
        Some("history") => return Ok(Incoming::History(payload.unwrap_or(Payload::NULL))),
        Some("resume") => return Ok(Incoming::Resume(payload.unwrap_or(Payload::NULL))),
        _ => {}
    }
    if is_reserved(&event_name) {
        return Err(reserved(&event_name));
    }
    let name = Name::new(&event_name).map_err(|_| wrong_name)?;
    let recipients = match recipients {
        Some(raw) => read_recipients(raw, recipients_max)?,
        None => None,
    };
    Ok(Incoming::Event { name, payload: payload.unwrap_or(Payload::EMPTY), recipients })
}

/// The platform events that a client may send. All others are the server's.
fn platform(action: &str, payload: Option<Payload>) -> Result<Incoming, DecodeError> {
    let payload = payload.unwrap_or(Payload::NULL);
    let wrong = |expected| DecodeError::WrongField { field: "payload", expected };
    match action {
        "SET_USER_INFO" if payload.is_object() => Ok(Incoming::SetUserInfo(payload)),
        "SET_USER_INFO" => Err(wrong("an object")),
        "IDENTIFY" => Ok(Incoming::Identify(only_token(&payload))),
        "GET_CONNECTED_CLIENTS" => Ok(Incoming::GetClients),
        _ => Err(reserved(action)),
    }
}

/// The token of an IDENTIFY, if the object has exactly one, and it is a text.
fn only_token(payload: &Payload) -> Option<String> {
    let mut tokens = Vec::new();
    for_each_raw_member(payload.as_bytes(), |name, value| {
        if name.unescape().as_deref() == Some("token") {
            tokens.push(value);
        }
    })
    .ok()?;
    let [token] = tokens[..] else { return None };
    text_of(token).map(Into::into)
}

fn reserved(name: &str) -> DecodeError {
    DecodeError::Reserved(name.chars().take(64).collect())
}

/// A string is a list of one. Values that cannot be an id are skipped.
fn read_recipients(raw: Raw<'_>, max: usize) -> Result<Option<Vec<Name>>, DecodeError> {
    let ids: Vec<Name> = match raw.get().as_bytes() {
        b"null" => return Ok(None),
        [b'"', ..] => raw.text().and_then(read_id).into_iter().collect(),
        [b'[', ..] => serde_json::Deserializer::from_str(raw.get()).deserialize_seq(IdsVisitor { max })?,
        _ => return Err(DecodeError::WrongField { field: "recipients", expected: "a list of ids" }),
    };
    if ids.len() > max { Err(DecodeError::TooManyRecipients { max }) } else { Ok(Some(ids)) }
}

fn read_id(id: Text<'_>) -> Option<Name> {
    Name::new(&id.unescape()?).ok()
}

fn utf16_units(text: &[u8]) -> usize {
    // Each character has one byte that is not a continuation byte; four-byte characters count twice.
    text.iter().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// The known members of a frame; the last of duplicate members counts.
#[derive(Default)]
struct Envelope<'a> {
    event_name: Option<Raw<'a>>,
    payload: Option<Raw<'a>>,
    recipients: Option<Raw<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Envelope::default();
        read_members(frame, |name, value| match name {
            "eventName" => envelope.event_name = Some(value),
            "payload" => envelope.payload = Some(value),
            "recipients" => envelope.recipients = Some(value),
            _ => {}
        })?;
        Ok(envelope)
    }
}

/// Reads the valid ids of a list. One more than `max` shows that there are too many; further ones are not stored.
struct IdsVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for IdsVisitor {
    type Value = Vec<Name>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Name>, A::Error> {
        let mut ids = Vec::new();
        while let Some(one) = list.next_element::<&RawValue>()? {
            if ids.len() <= self.max {
                ids.extend(Text::of(one).and_then(read_id));
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn try_read(frame: &str) -> Result<Incoming, DecodeError> {
        decode(frame.as_bytes(), MessageBounds::default())
    }

    fn read(frame: &str) -> Incoming {
        try_read(frame).unwrap_or_else(|error| panic!("{frame}: {error}"))
    }

    fn event(name: &str, payload: &str, recipients: Option<&[&str]>) -> Incoming {
        Incoming::Event {
            name: Name::new(name).unwrap(),
            payload: Payload::parse(payload).unwrap(),
            recipients: recipients.map(|ids| ids.iter().map(|id| Name::new(id).unwrap()).collect()),
        }
    }

    #[test]
    fn an_event_without_recipients_is_for_the_shard() {
        assert_eq!(read(r#"{"eventName":"a","payload":{"x":1}}"#), event("a", r#"{"x":1}"#, None));
        for none in [r#"{"eventName":"a"}"#, r#"{"eventName":"a","payload":null,"recipients":null}"#] {
            assert_eq!(read(none), event("a", "{}", None));
        }
    }

    #[test]
    fn other_payloads_are_unchanged() {
        for payload in ["0", "\"\"", "false", "[1,null]", "1e400", "{ }"] {
            let frame = format!(r#"{{"payload":{payload},"eventName":"a"}}"#);
            assert_eq!(read(&frame), event("a", payload, None));
        }
    }

    #[test]
    fn recipients_are_a_list_of_strings_or_one_string() {
        let to = |recipients: &str| try_read(&format!(r#"{{"eventName":"a","recipients":{recipients}}}"#));
        assert_eq!(to(r#"["x","y","x"]"#).unwrap(), event("a", "{}", Some(&["x", "y", "x"])));
        assert_eq!(to("\"x\"").unwrap(), event("a", "{}", Some(&["x"])));
        assert_eq!(to("[]").unwrap(), event("a", "{}", Some(&[])));
        assert_eq!(to(r#"[1,"x",null,["y"],{"z":1},"","\ud800"]"#).unwrap(), event("a", "{}", Some(&["x"])));
        for wrong in ["5", "true", "{}", "{\"x\":1}"] {
            assert!(matches!(to(wrong), Err(DecodeError::WrongField { field: "recipients", .. })), "{wrong}");
        }
    }

    #[test]
    fn a_message_with_too_many_recipients_is_refused() {
        let bounds = MessageBounds { recipients_max: 3, ..MessageBounds::default() };
        let to = |recipients: &str| {
            let frame = format!(r#"{{"eventName":"a","recipients":{recipients}}}"#);
            decode(frame.as_bytes(), bounds)
        };
        assert_eq!(to(r#"["x","y",5,"z",null]"#).unwrap(), event("a", "{}", Some(&["x", "y", "z"])));
        for too_many in [r#"["x","y","z","x"]"#, r#"["1","2","3","4","5","6"]"#] {
            assert!(matches!(to(too_many), Err(DecodeError::TooManyRecipients { max: 3 })), "{too_many}");
        }
    }

    #[test]
    fn the_longest_list_of_clients_that_an_original_client_sends_is_accepted() {
        let one = "\"8e055e73-0000-4000-8000-000000000000\",";
        let frame = |ids: usize| {
            format!(r#"{{"eventName":"a","recipients":[{}]}}"#, one.repeat(ids).trim_end_matches(','))
        };
        let most = (MESSAGE_UNITS_MAX - frame(0).len()) / one.len();
        let Incoming::Event { recipients, .. } = read(&frame(most)) else { panic!("it is an event") };
        assert_eq!(recipients.unwrap().len(), most);
    }

    #[test]
    fn clients_cannot_send_platform_events_of_the_server() {
        let info = r#"{"eventName":"@@KOJI_DISPATCH/SET_USER_INFO","payload":{"name":"Ann"}}"#;
        assert_eq!(read(info), Incoming::SetUserInfo(Payload::parse(r#"{"name":"Ann"}"#).unwrap()));
        let identify = r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":"t","x":1}}"#;
        assert_eq!(read(identify), Incoming::Identify(Some("t".into())));
        for name in ["CONNECTED", "CONNECTED_CLIENTS_CHANGED", "", "set_user_info"] {
            let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/{name}","payload":{{}}}}"#);
            assert!(matches!(try_read(&frame), Err(DecodeError::Reserved(_))), "{name}");
        }
        for name in ["\\u0040@KOJI_DISPATCH/CONNECTED", "@@SWITCHBOARD/session", "@@SWITCHBOARD/"] {
            let frame = format!(r#"{{"eventName":"{name}"}}"#);
            assert!(matches!(try_read(&frame), Err(DecodeError::Reserved(_))), "{name}");
        }
        for payload in ["null", "[]", "\"x\"", "5"] {
            let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/SET_USER_INFO","payload":{payload}}}"#);
            assert!(matches!(try_read(&frame), Err(DecodeError::WrongField { .. })), "{frame}");
        }
    }

    #[test]
    fn an_identification_without_one_text_as_its_token_has_none() {
        let two = r#"{"token":"a","token":"b"}"#;
        for payload in ["null", "[]", "\"x\"", "5", "{}", r#"{"token":5}"#, r#"{"token":null}"#, two] {
            let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{payload}}}"#);
            assert_eq!(read(&frame), Incoming::Identify(None), "{frame}");
        }
    }

    #[test]
    fn names_and_values_that_rust_cannot_represent_do_not_hide_the_frame() {
        let payload = r#"{"\udc00":"\ud800"}"#;
        let frame =
            format!(r#"{{"\ud800":0,"eventName":"a","payload":{payload},"recipients":["\ud800","x"]}}"#);
        assert_eq!(read(&frame), event("a", payload, Some(&["x"])));
        assert_eq!(read(r#"{"eventName":"a","recipients":"\ud800"}"#), event("a", "{}", Some(&[])));
        let identify = r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"\ud800":0,"token":"t"}}"#;
        assert_eq!(read(identify), Incoming::Identify(Some("t".into())));
        assert!(try_read(r#"{"eventName":"\ud800"}"#).is_err());
    }

    #[test]
    fn an_invalid_frame_is_an_error() {
        let long = format!(r#"{{"eventName":"{}"}}"#, "x".repeat(257));
        let deep = format!(r#"{{"eventName":"a","payload":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for bad in
            ["", "{", "null", "[]", "5", "{}", r#"{"eventName":5}"#, r#"{"eventName":""}"#, &long, &deep]
        {
            assert!(try_read(bad).is_err(), "{bad}");
        }
        assert!(decode(&b"{\"eventName\":\"\xff\"}"[..], MessageBounds::default()).is_err());
    }

    #[test]
    fn length_is_counted_in_utf_16_units() {
        for text in ["", "a", "é", "€", "😀", "a😀é€"] {
            assert_eq!(utf16_units(text.as_bytes()), text.encode_utf16().count(), "{text}");
        }
        let frame = |units: usize| format!(r#"{{"eventName":"a","payload":"{}"}}"#, "€".repeat(units - 30));
        assert!(try_read(&frame(MESSAGE_UNITS_MAX)).is_ok());
        let over = try_read(&frame(MESSAGE_UNITS_MAX + 1));
        assert!(matches!(over, Err(DecodeError::TooLong { max: MESSAGE_UNITS_MAX })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\_]{0,60}") {
            let bounds = MessageBounds { units_max: 100, recipients_max: 3 };
            let _ = decode(&bytes[..], bounds);
            let _ = decode(text.as_bytes(), bounds);
        }
    }
}
