//! The reader of JSON objects agrees with serde_json on every text, and no member of a frame or payload is beyond
//! it.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use switchboard_event::json::{Raw, Text, for_each_member, for_each_raw_member};
use switchboard_event::{Event, Name, Payload, SocketId};
use switchboard_wire::{emit, koji, mesa};

/// A name or value as it was written.
type Member = (String, String);

fn members(json: &str) -> Option<Vec<Member>> {
    let (mut members, mut members_of_serde) = (Vec::new(), Vec::new());
    let visit = |name: Text<'_>, value: Raw<'_>| {
        members.push((name.as_json().to_owned(), value.get().to_owned()));
    };
    let visit_of_serde = |name: Text<'_>, value: &RawValue| {
        members_of_serde.push((name.as_json().to_owned(), value.get().to_owned()));
    };
    let read = for_each_raw_member(json.as_bytes(), visit);
    let read_by_serde = for_each_member(json.as_bytes(), visit_of_serde);
    match (&read, &read_by_serde) {
        (Ok(()), Ok(())) => assert_eq!(members, members_of_serde),
        (Err(error), Err(error_of_serde)) => assert_eq!(error.to_string(), error_of_serde.to_string()),
        _ => panic!("{read:?} is not {read_by_serde:?}: {json}"),
    }
    read.is_ok().then_some(members)
}

/// The object as a tree, if Rust can represent it; the last of repeated members counts.
fn tree(members: &[Member]) -> Option<Value> {
    let read = |(name, value): &Member| {
        Some((serde_json::from_str(name).ok()?, serde_json::from_str::<Value>(value).ok()?))
    };
    members.iter().map(read).collect::<Option<Map<String, Value>>>().map(Value::Object)
}

/// Any JSON string: with escapes, pairs of surrogates and halves of pairs.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-z \\[{:,}\\]é€😀\u{2028}]".prop_map(String::from),
        1 => r#"\\["\\/bfnrt]"#.prop_map(String::from),
        1 => r"\\u[0-9a-fA-F]{4}".prop_map(String::from),
        1 => r"\\u[dD][89a-fA-F][0-9a-f]{2}".prop_map(String::from),
        1 => Just(r"\ud83d\ude00".to_owned()),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

/// Any name of a member; often one that a protocol or the metadata uses, also with an escape.
fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        r#""__clientId""#,
        r#""\u005f_clientId""#,
        r#""__timestamp""#,
        r#""clientId""#,
        r#""timestamp""#,
        r#""__clientId\ud800""#,
    ]);
    prop_oneof![2 => string(), 1 => known.prop_map(String::from)]
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,2}"
}

fn object(value: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let member = (space(), name(), space(), space(), value, space())
        .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
    (proptest::collection::vec(member, 0..5), space()).prop_map(|(members, end)| {
        if members.is_empty() { format!("{{{end}}}") } else { format!("{{{}}}", members.join(",")) }
    })
}

/// Any JSON value.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?".prop_map(String::from),
        string(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = proptest::collection::vec((space(), inner.clone()), 0..4).prop_map(|values| {
            let values: Vec<String> = values.into_iter().map(|(space, value)| space + &value).collect();
            format!("[{}]", values.join(","))
        });
        prop_oneof![list, object(inner)]
    })
}

/// Text that is often nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let changed = (object(value()), any::<prop::sample::Index>(), "[\\[\\]{}\":,a0u\\\\\u{1} ]").prop_map(
        |(mut text, at, insert)| {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            let place = places[at.index(places.len())];
            text.insert_str(place, &insert);
            text
        },
    );
    prop_oneof![changed, "[\\[\\]{}\":,a0u\\\\ ]{0,24}"]
}

proptest! {
    #[test]
    fn an_object_is_read_exactly_if_it_is_json(text in prop_oneof![object(value()), value(), nearly_json()]) {
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        let is_object = text.trim_start_matches([' ', '\n', '\t', '\r']).starts_with('{');
        prop_assert_eq!(members(&text).is_some(), is_json && is_object, "{}", text);
    }

    #[test]
    fn an_object_has_the_members_that_serde_json_finds(object in object(value())) {
        let read = members(&object).expect("it is JSON");
        prop_assert_eq!(tree(&read), serde_json::from_str(&object).ok());
    }

    #[test]
    fn a_member_of_a_payload_is_the_last_of_that_name(object in object(value())) {
        let payload = Payload::parse(&object).unwrap();
        let last = members(&object).unwrap().into_iter().rfind(|(name, _)| {
            serde_json::from_str::<String>(name).is_ok_and(|name| name == "timestamp")
        });
        let found = payload.member("timestamp").map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap());
        prop_assert_eq!(found, last.map(|(_, value)| value));
    }

    #[test]
    fn a_koji_payload_keeps_the_members_of_the_sender_and_has_the_metadata_of_the_server(
        object in object(value()),
        has_sender: bool,
    ) {
        let (id, data) = (SocketId::random(), Payload::parse(&object).unwrap());
        let sender = has_sender.then_some(id);
        let event = Event { name: Name::new("a").unwrap(), data, sender, time_ms: 7, trace: None };
        let mut frame = Vec::new();
        koji::write_event(&mut frame, &event, 0);
        let payload = Payload::parse_bytes(Bytes::from(frame)).unwrap().member("payload").unwrap();
        let written = members(std::str::from_utf8(payload.as_bytes()).unwrap()).unwrap();

        let plain = |(name, _): &Member| serde_json::from_str::<String>(name).unwrap_or_default();
        let is_metadata = |member: &Member| matches!(&*plain(member), "__clientId" | "__timestamp");
        let sent = members(&object).unwrap();
        let mut expected: Vec<Member> = sent.iter().filter(|member| !is_metadata(member)).cloned().collect();
        let mut add = |name: &str, value: Option<String>| {
            expected.extend(value.map(|value| (format!("\"{name}\""), value)));
        };
        let id = sender.map(|id| format!("\"{id}\""));
        add("__clientId", id.clone());
        add("__timestamp", Some("7".into()));
        let sends = |name: &str| sent.iter().any(|member| plain(member) == name);
        add("clientId", id.filter(|_| !sends("clientId")));
        add("timestamp", (!sends("timestamp")).then(|| "7".into()));
        prop_assert_eq!(written, expected);
    }

    #[test]
    fn members_that_no_protocol_defines_hide_no_frame(object in object(value()), end in space()) {
        let rest = &object[1..object.len() - 1];
        let comma = if rest.trim().is_empty() { "" } else { "," };
        let frame = |members: &str| Bytes::from(format!("{{{rest}{comma}{members}{end}}}"));
        let decoded = emit::decode(&frame(r#""event":"/a","data":1,"type":null,"ackId":2"#)).unwrap();
        let is_event = matches!(decoded, emit::Incoming::Event { name, ack: Some(_), .. } if name == "/a");
        prop_assert!(is_event);
        let decoded = koji::decode(&frame(r#""eventName":"a","payload":1,"recipients":null"#), koji::MessageBounds::default()).unwrap();
        let is_event = matches!(decoded, koji::Incoming::Event { name, recipients: None, .. } if name == "a");
        prop_assert!(is_event);
        let decoded = mesa::decode(&frame(r#""op":0,"d":1,"t":"A""#)).unwrap();
        let is_message = matches!(decoded, mesa::Incoming::Message(message) if message.kind.as_deref() == Some("A"));
        prop_assert!(is_message);
    }
}
