//! Adds the sender and the time to a payload that is an object, without parsing it into a tree.
//!
//! Receivers trust the metadata, so no member of the sender passes unread: of an object that cannot be read, only
//! the members before the fault are copied.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use switchboard_event::Event;
use switchboard_event::json::{Text, for_each_member};

use crate::write::write_fmt;

/// Writes the payload of an event, with the metadata if it is an object.
pub(super) fn write_payload(out: &mut Vec<u8>, event: &Event) {
    let data = event.data.as_bytes();
    if !event.data.is_object() {
        return out.extend_from_slice(data);
    }
    let names = Names::of(data);
    let has_members = match names.may_be_copied {
        true => {
            // Whitespace may precede the brace, but the brace is the last byte.
            out.extend_from_slice(&data[..data.len() - 1]);
            names.has_any
        }
        false => write_members_without_metadata(out, data),
    };
    write_metadata(out, event, &names, has_members);
    out.push(b'}');
}

/// Appends the metadata to the members of an object.
fn write_metadata(out: &mut Vec<u8>, event: &Event, names: &Names, has_members: bool) {
    let mut comma = if has_members { "," } else { "" };
    let mut member = |name: &str, value: std::fmt::Arguments<'_>| {
        write_fmt(out, format_args!("{comma}\"{name}\":{value}"));
        comma = ",";
    };
    let time = event.time_ms;
    if let Some(id) = event.sender {
        member("__clientId", format_args!("\"{id}\""));
    }
    member("__timestamp", format_args!("{time}"));
    if let (Some(id), false) = (event.sender, names.client_id) {
        member("clientId", format_args!("\"{id}\""));
    }
    if !names.timestamp {
        member("timestamp", format_args!("{time}"));
    }
}

/// Copies `{` and all members except reserved metadata. Returns true if there are any.
fn write_members_without_metadata(out: &mut Vec<u8>, object: &[u8]) -> bool {
    out.push(b'{');
    let mut has_members = false;
    let read = for_each_member(object, |name, value: &RawValue| {
        if !is_metadata(name) {
            if std::mem::replace(&mut has_members, true) {
                out.push(b',');
            }
            out.extend_from_slice(name.as_json().as_bytes());
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
    });
    // After a fault nothing more is copied.
    drop(read);
    has_members
}

fn is_metadata(name: Text<'_>) -> bool {
    matches!(name.unescape().as_deref(), Some("__clientId" | "__timestamp"))
}

/// What the names of an object's members decide.
#[derive(Default)]
struct Names {
    /// The object can be read and contains no metadata, which only the server may write.
    may_be_copied: bool,
    /// It has a member.
    has_any: bool,
    client_id: bool,
    timestamp: bool,
}

impl Names {
    fn of(object: &[u8]) -> Self {
        let (mut names, mut is_forged) = (Names::default(), false);
        let read = for_each_member(object, |name, _: IgnoredAny| {
            names.has_any = true;
            match name.unescape().as_deref() {
                Some("__clientId" | "__timestamp") => is_forged = true,
                Some("clientId") => names.client_id = true,
                Some("timestamp") => names.timestamp = true,
                _ => {}
            }
        });
        names.may_be_copied = read.is_ok() && !is_forged;
        names
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
        let event = Event { name: Name::new("a\"b").unwrap(), data, sender, time_ms: 1234, trace: None };
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

    /// The written payload of a sender at time 7, with `ID` in place of its id.
    fn payload_of(data: &str) -> String {
        let (sender, mut out) = (SocketId::random(), Vec::new());
        let (name, data) = (Name::new("a").unwrap(), Payload::parse(data).unwrap());
        write_payload(&mut out, &Event { name, data, sender: Some(sender), time_ms: 7, trace: None });
        String::from_utf8(out).unwrap().replace(&sender.to_string(), "ID")
    }

    const METADATA: &str = r#""__clientId":"ID","__timestamp":7"#;

    #[test]
    fn metadata_cannot_be_forged_beside_names_that_rust_cannot_represent() {
        let own = r#""clientId":"ID","timestamp":7"#;
        let forged = r#"{"body":"pay me","\ud800":0,"__clientId":"victim","__timestamp":1}"#;
        assert_eq!(payload_of(forged), format!(r#"{{"body":"pay me","\ud800":0,{METADATA},{own}}}"#));
        let first = r#"{"__clientId":"victim","\udc00\ud800":"\ud800"}"#;
        assert_eq!(payload_of(first), format!(r#"{{"\udc00\ud800":"\ud800",{METADATA},{own}}}"#));
        let honest = r#"{ "\uD83D" : 1e400 , "timestamp":0}"#;
        let expected = format!(r#"{{ "\uD83D" : 1e400 , "timestamp":0,{METADATA},"clientId":"ID"}}"#);
        assert_eq!(payload_of(honest), expected);
    }

    #[test]
    fn of_an_object_that_cannot_be_read_only_the_members_before_the_fault_are_copied() {
        for (object, copied) in [
            (r#"{"a":1,"b"x,"__clientId":"victim"}"#, r#"{"a":1"#),
            (r#"{"__clientId":"victim",}"#, "{"),
            ("{\"\u{1}\":0,\"__clientId\":\"victim\"}", "{"),
        ] {
            assert!(!Names::of(object.as_bytes()).may_be_copied, "{object}");
            let mut out = Vec::new();
            assert_eq!(write_members_without_metadata(&mut out, object.as_bytes()), copied.len() > 1);
            assert_eq!(out, copied.as_bytes());
        }
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
            for key in keys.iter().filter(|key| !matches!(&***key, "__clientId" | "__timestamp")) {
                prop_assert_eq!(&payload[key], &json!(1));
            }
        }
    }
}
