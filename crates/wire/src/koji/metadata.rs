//! Adds the sender and the time to a payload that is an object, without parsing it into a tree.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use switchboard_event::Event;

use crate::object::{for_each_member, is_object};
use crate::text::{Text, write_fmt, write_text};

/// Writes the payload of an event, with the metadata if it is an object.
pub(super) fn write_payload(out: &mut Vec<u8>, event: &Event) {
    match serde_json::from_slice::<TopLevel>(event.data.as_bytes()) {
        Ok(keys) if is_object(&event.data) => write_object(out, event, keys),
        _ => out.extend_from_slice(event.data.as_bytes()),
    }
}

/// Copies an object and appends the metadata to its members.
fn write_object(out: &mut Vec<u8>, event: &Event, keys: TopLevel) {
    let data = event.data.as_bytes();
    if keys.forged {
        write_members_without_metadata(out, data);
    } else {
        // Whitespace may precede the brace, but the brace is the last byte.
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

/// Copies `{` and all members except reserved metadata.
fn write_members_without_metadata(out: &mut Vec<u8>, data: &[u8]) {
    out.push(b'{');
    let mut comma = false;
    let copied = for_each_member(data, |Text(key), value| {
        if !is_metadata(&key) {
            if std::mem::replace(&mut comma, true) {
                out.push(b',');
            }
            write_text(out, &key);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
    });
    copied.expect("the data was read once already");
}

fn is_metadata(key: &str) -> bool {
    matches!(key, "__clientId" | "__timestamp")
}

/// The result of scanning an object's keys.
#[derive(Default)]
struct TopLevel {
    /// It has members that are not reserved metadata.
    own: usize,
    /// It contains metadata that only the server may write.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use switchboard_event::{Name, Payload, SocketId};

    use super::*;
    use crate::koji::write_event;

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
    fn an_object_gets_the_sender_and_the_time() {
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
    fn the_senders_keys_are_kept_but_metadata_cannot_be_forged() {
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

    proptest! {
        #[test]
        fn any_object_stays_json_and_gets_the_sender_of_the_server(
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
