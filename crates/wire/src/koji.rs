//! Koji Dispatch: `{"eventName":…,"payload":…,"recipients":…}` from clients, and
//! `{"eventName":…,"payload":…,"latencyMs":…}` to them.
//!
//! The protocol is written down in `spec/koji.md`.

use std::fmt;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use switchboard_event::{Event, Name, Payload, SocketId};

use crate::DecodeError;
use crate::depth::is_shallow;
use crate::text::{Text, write_text};

/// Longest message, in UTF-16 units: what the clients themselves refuse to send more than.
pub const MESSAGE_UNITS_MAX: usize = 128_000;

/// Names with this in front are the platform's own.
const PLATFORM: &str = "@@KOJI_DISPATCH/";

/// What the server says first: who and where the client is.
pub const CONNECTED: &str = "@@KOJI_DISPATCH/CONNECTED";

/// Who is on the shard, the whole list.
pub const CLIENTS_CHANGED: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";

/// What changed of that list; only for those who asked for it.
pub const CLIENTS_CHANGES: &str = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGES";

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event for others.
    Event {
        /// What happened.
        name: Name,
        /// The data; `{}` where there is none.
        payload: Payload,
        /// The ids it is for, of clients or users; `None` means the sender's shard.
        recipients: Option<Vec<Name>>,
    },
    /// The client says what the others shall know of it: an object.
    SetUserInfo(Payload),
    /// The client shows a token.
    Identify(String),
    /// The client has missed a change and wants the whole list.
    GetClients,
}

/// Reads one message, text or binary. Messages over `units_max` UTF-16 units are refused.
pub fn decode(frame: &Bytes, units_max: usize) -> Result<Incoming, DecodeError> {
    // No text has more UTF-16 units than bytes.
    if frame.len() > units_max && utf16_units(frame) > units_max {
        return Err(DecodeError::TooLong { max: units_max });
    }
    if !is_shallow(frame) {
        return Err(DecodeError::TooDeep);
    }
    let Envelope { event_name, payload, recipients } = serde_json::from_slice(frame)?;
    let payload =
        payload.map(|raw| Payload::slice_of(frame, raw)).filter(|payload| *payload != Payload::NULL);
    let wrong_name = DecodeError::WrongField { field: "eventName", expected: "a text of 1 to 256 bytes" };
    let event_name = event_name.ok_or(DecodeError::MissingField("eventName"))?;
    let Ok(Text(event_name)) = serde_json::from_str(event_name.get()) else { return Err(wrong_name) };
    if let Some(action) = event_name.strip_prefix(PLATFORM) {
        return platform(action, payload);
    }
    let name = Name::new(&event_name).map_err(|_| wrong_name)?;
    let recipients = recipients.map(read_recipients).transpose()?.flatten();
    Ok(Incoming::Event { name, payload: payload.unwrap_or(Payload::EMPTY), recipients })
}

/// What a client may ask of the platform. Everything else is the server's to say.
fn platform(action: &str, payload: Option<Payload>) -> Result<Incoming, DecodeError> {
    let payload = payload.unwrap_or(Payload::NULL);
    let wrong = |expected| DecodeError::WrongField { field: "payload", expected };
    match action {
        "SET_USER_INFO" if is_object(&payload) => Ok(Incoming::SetUserInfo(payload)),
        "SET_USER_INFO" => Err(wrong("an object")),
        "IDENTIFY" => {
            let token = is_object(&payload).then(|| payload.to::<Token>().ok()).flatten();
            token.map(|token| Incoming::Identify(token.token)).ok_or_else(|| wrong("{\"token\":text}"))
        }
        "GET_CONNECTED_CLIENTS" => Ok(Incoming::GetClients),
        _ => Err(DecodeError::Reserved(action.chars().take(64).collect())),
    }
}

#[derive(serde::Deserialize)]
struct Token {
    token: String,
}

fn is_object(payload: &Payload) -> bool {
    payload.as_bytes().starts_with(b"{")
}

/// A text is a list of one; what cannot be an id is nobody's.
fn read_recipients(raw: &RawValue) -> Result<Option<Vec<Name>>, DecodeError> {
    let wrong = DecodeError::WrongField { field: "recipients", expected: "a list of ids" };
    let read: Result<Recipients, _> = match raw.get().as_bytes() {
        b"null" => return Ok(None),
        [b'[' | b'"', ..] => serde_json::from_str(raw.get()),
        _ => return Err(wrong),
    };
    // A list that cannot be read has a text that is none, such as half a surrogate pair.
    read.map(|ids| Some(ids.0)).map_err(|_| wrong)
}

fn utf16_units(text: &[u8]) -> usize {
    // Every character has one byte that does not continue another; those of four bytes count twice.
    text.iter().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// Writes an event for a client: `latency_ms` is how long it was on its way.
///
/// An object gets the sender and the time into it. `__clientId` and `__timestamp` are always the
/// server's; `clientId` and `timestamp` are added unless the sender has written its own.
pub fn write_event(out: &mut Vec<u8>, event: &Event, latency_ms: u64) {
    out.extend_from_slice(b"{\"eventName\":");
    write_text(out, &event.name);
    out.extend_from_slice(b",\"payload\":");
    match serde_json::from_slice::<TopLevel>(event.data.as_bytes()) {
        Ok(keys) if is_object(&event.data) => write_object(out, event, keys),
        _ => out.extend_from_slice(event.data.as_bytes()),
    }
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
pub fn write_connected(out: &mut Vec<u8>, id: SocketId, shard: &Name) {
    write_platform(out, CONNECTED, |out| {
        write_fmt(out, format_args!("{{\"clientId\":\"{id}\",\"shardName\":"));
        write_text(out, shard);
        out.push(b'}');
    });
}

fn write_fmt(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    struct Utf8<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Utf8<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Utf8(out).write_fmt(arguments).expect("a Vec takes everything");
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

/// Copies an object and puts the metadata behind its members.
fn write_object(out: &mut Vec<u8>, event: &Event, keys: TopLevel) {
    let data = event.data.as_bytes();
    if keys.forged {
        write_members_that_are_the_senders(out, data);
    } else {
        // Spaces may stand in front of the brace, but the brace is the last byte.
        out.extend_from_slice(&data[..data.len() - 1]);
    }
    let mut comma = if keys.own > 0 { "," } else { "" };
    let mut member = |name: &str, value: fmt::Arguments<'_>| {
        write_fmt(out, format_args!("{comma}\"{name}\":{value}"));
        comma = ",";
    };
    let time = event.time_ms;
    if let Some(id) = event.sender {
        member("__clientId", format_args!("\"{id}\""));
    }
    member("__timestamp", format_args!("{time}"));
    if let (Some(id), false) = (event.sender, keys.client_id) {
        member("clientId", format_args!("\"{id}\""));
    }
    if !keys.timestamp {
        member("timestamp", format_args!("{time}"));
    }
    out.push(b'}');
}

/// Copies `{` and all members but the metadata that the sender has no right to.
fn write_members_that_are_the_senders(out: &mut Vec<u8>, data: &[u8]) {
    let Members(members) = serde_json::from_slice(data).expect("the data was read once already");
    out.push(b'{');
    for (place, (key, value)) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(out, &key.0);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
}

fn is_metadata(key: &str) -> bool {
    matches!(key, "__clientId" | "__timestamp")
}

/// What is known of an object after one look at its keys.
#[derive(Default)]
struct TopLevel {
    /// Members that are no metadata of ours.
    own: usize,
    /// There is metadata that only the server may write.
    forged: bool,
    client_id: bool,
    timestamp: bool,
}

impl<'de> Deserialize<'de> for TopLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopLevelVisitor)
    }
}

struct TopLevelVisitor;

impl<'de> Visitor<'de> for TopLevelVisitor {
    type Value = TopLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TopLevel, A::Error> {
        let mut keys = TopLevel::default();
        while let Some((Text(key), IgnoredAny)) = map.next_entry()? {
            match &*key {
                key if is_metadata(key) => {
                    keys.forged = true;
                    continue;
                }
                "clientId" => keys.client_id = true,
                "timestamp" => keys.timestamp = true,
                _ => {}
            }
            keys.own += 1;
        }
        Ok(keys)
    }
}

/// The members of an object that are not our metadata, in their order.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<Text<'de>, _>()? {
            if !is_metadata(&key.0) {
                members.push((key, value));
            }
        }
        Ok(Members(members))
    }
}

/// The members of a frame that mean something; of one that comes twice the last counts.
#[derive(Default)]
struct Envelope<'a> {
    event_name: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    recipients: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some((Text(key), value)) = map.next_entry()? {
            match &*key {
                "eventName" => envelope.event_name = Some(value),
                "payload" => envelope.payload = Some(value),
                "recipients" => envelope.recipients = Some(value),
                _ => {}
            }
        }
        Ok(envelope)
    }
}

/// The members of a list that can be ids, or a text that can.
struct Recipients(Vec<Name>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecipientsVisitor)
    }
}

struct RecipientsVisitor;

impl<'de> Visitor<'de> for RecipientsVisitor {
    type Value = Recipients;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ids")
    }

    fn visit_str<E>(self, id: &str) -> Result<Recipients, E> {
        Ok(Recipients(Name::new(id).into_iter().collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Recipients, A::Error> {
        let mut ids = Vec::new();
        while let Some(one) = list.next_element::<&RawValue>()? {
            if let Ok(Text(id)) = serde_json::from_str(one.get()) {
                ids.extend(Name::new(&id));
            }
        }
        Ok(Recipients(ids))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn try_read(frame: &str) -> Result<Incoming, DecodeError> {
        decode(&Bytes::copy_from_slice(frame.as_bytes()), MESSAGE_UNITS_MAX)
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

    fn written(data: &str, sender: Option<SocketId>) -> Value {
        let data = Payload::parse(data).unwrap();
        let event = Event { name: Name::new("a\"b").unwrap(), data, sender, time_ms: 1234 };
        let mut out = Vec::new();
        write_event(&mut out, &event, 7);
        let frame: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&frame["eventName"], &frame["latencyMs"]), (&json!("a\"b"), &json!(7)));
        frame["payload"].clone()
    }

    #[test]
    fn an_event_without_recipients_is_for_the_shard() {
        assert_eq!(read(r#"{"eventName":"a","payload":{"x":1}}"#), event("a", r#"{"x":1}"#, None));
        for none in [r#"{"eventName":"a"}"#, r#"{"eventName":"a","payload":null,"recipients":null}"#] {
            assert_eq!(read(none), event("a", "{}", None));
        }
    }

    #[test]
    fn every_other_payload_stays_as_it_is() {
        for payload in ["0", "\"\"", "false", "[1,null]", "1e400", "{ }"] {
            let frame = format!(r#"{{"payload":{payload},"eventName":"a"}}"#);
            assert_eq!(read(&frame), event("a", payload, None));
        }
    }

    #[test]
    fn recipients_are_a_list_of_texts_or_one_text() {
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
    fn the_platforms_events_are_the_platforms() {
        let info = r#"{"eventName":"@@KOJI_DISPATCH/SET_USER_INFO","payload":{"name":"Ann"}}"#;
        assert_eq!(read(info), Incoming::SetUserInfo(Payload::parse(r#"{"name":"Ann"}"#).unwrap()));
        let identify = r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":"t","x":1}}"#;
        assert_eq!(read(identify), Incoming::Identify("t".into()));
        for name in ["CONNECTED", "CONNECTED_CLIENTS_CHANGED", "", "set_user_info"] {
            let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/{name}","payload":{{}}}}"#);
            assert!(matches!(try_read(&frame), Err(DecodeError::Reserved(_))), "{name}");
        }
        let escaped = r#"{"eventName":"\u0040@KOJI_DISPATCH/CONNECTED"}"#;
        assert!(matches!(try_read(escaped), Err(DecodeError::Reserved(_))));
        for payload in ["null", "[]", "\"x\"", "5"] {
            for name in ["SET_USER_INFO", "IDENTIFY"] {
                let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/{name}","payload":{payload}}}"#);
                assert!(matches!(try_read(&frame), Err(DecodeError::WrongField { .. })), "{frame}");
            }
        }
        for payload in ["{}", r#"{"token":5}"#, r#"{"token":null}"#] {
            let frame = format!(r#"{{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{payload}}}"#);
            assert!(try_read(&frame).is_err(), "{frame}");
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let long = format!(r#"{{"eventName":"{}"}}"#, "x".repeat(257));
        let deep = format!(r#"{{"eventName":"a","payload":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for bad in
            ["", "{", "null", "[]", "5", "{}", r#"{"eventName":5}"#, r#"{"eventName":""}"#, &long, &deep]
        {
            assert!(try_read(bad).is_err(), "{bad}");
        }
        assert!(decode(&Bytes::from_static(b"{\"eventName\":\"\xff\"}"), 1000).is_err());
    }

    #[test]
    fn length_is_counted_as_the_clients_count_it() {
        for text in ["", "a", "é", "€", "😀", "a😀é€"] {
            assert_eq!(utf16_units(text.as_bytes()), text.encode_utf16().count(), "{text}");
        }
        let frame = |units: usize| format!(r#"{{"eventName":"a","payload":"{}"}}"#, "€".repeat(units - 30));
        assert!(try_read(&frame(MESSAGE_UNITS_MAX)).is_ok());
        let over = try_read(&frame(MESSAGE_UNITS_MAX + 1));
        assert!(matches!(over, Err(DecodeError::TooLong { max: MESSAGE_UNITS_MAX })));
    }

    #[test]
    fn objects_get_the_sender_and_the_time() {
        let id = SocketId::random();
        let metadata = json!({ "__clientId": id, "__timestamp": 1234, "clientId": id, "timestamp": 1234 });
        for empty in ["{}", "{ }", "{\n}"] {
            assert_eq!(written(empty, Some(id)), metadata);
        }
        let mut expected = json!({ "a": { "clientId": 1 }, "b": "}" });
        expected.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        assert_eq!(written(r#"{ "a": {"clientId":1}, "b": "}" }"#, Some(id)), expected);
        assert_eq!(written("{}", None), json!({ "__timestamp": 1234, "timestamp": 1234 }));
        for other in ["[]", "[{\"a\":1}]", "\"x\"", "0", "true", "null"] {
            assert_eq!(written(other, Some(id)), serde_json::from_str::<Value>(other).unwrap());
        }
    }

    #[test]
    fn the_senders_own_keys_stay_but_metadata_cannot_be_forged() {
        let id = SocketId::random();
        let own = written(r#"{"clientId":"other","timestamp":null}"#, Some(id));
        let expected =
            json!({ "clientId": "other", "timestamp": null, "__clientId": id, "__timestamp": 1234 });
        assert_eq!(own, expected);
        let forged = r#"{"__clientId":"x","a":[1, 2],"\u005f_timestamp":5,"__clientId":{"y":1},"\"":0}"#;
        let expected = json!({ "a": [1, 2], "\"": 0, "__clientId": id, "__timestamp": 1234, "clientId": id, "timestamp": 1234 });
        assert_eq!(written(forged, Some(id)), expected);
        let alone = written(r#"{"__clientId":"x"}"#, None);
        assert_eq!(alone, json!({ "__timestamp": 1234, "timestamp": 1234 }));
    }

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

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-z0-9\\\\_]{0,60}") {
            let _ = decode(&bytes.into(), 100);
            let _ = decode(&text.into_bytes().into(), 100);
        }

        #[test]
        fn whatever_object_is_sent_stays_json_with_one_true_sender(
            keys in proptest::collection::vec("[a-z]|clientId|__clientId|timestamp|__timestamp", 0..6),
        ) {
            let id = SocketId::random();
            let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":1")).collect();
            let payload = written(&format!("{{{}}}", members.join(",")), Some(id));
            prop_assert_eq!(&payload["__clientId"], &json!(id));
            prop_assert_eq!(&payload["__timestamp"], &json!(1234));
            for key in keys.iter().filter(|key| !is_metadata(key)) {
                prop_assert_eq!(&payload[key], &json!(1));
            }
        }
    }
}
