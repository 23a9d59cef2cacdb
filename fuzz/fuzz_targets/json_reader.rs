//! Any input: objects are read exactly if they are JSON, and their members are those that serde_json finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use switchboard_event::Payload;
use switchboard_event::json::{Raw, Text, for_each_member, for_each_raw_member};

fuzz_target!(|data: &[u8]| {
    let mut members: Vec<(Text<'_>, Raw<'_>)> = Vec::new();
    let read = for_each_raw_member(data, |name, value| members.push((name, value)));
    let mut others: Vec<(Text<'_>, &RawValue)> = Vec::new();
    assert_eq!(for_each_member(data, |name, value| others.push((name, value))).is_ok(), read.is_ok());
    let json = serde_json::from_slice::<&RawValue>(data);
    assert_eq!(read.is_ok(), json.is_ok_and(|json| json.get().starts_with('{')), "{read:?}");
    if read.is_err() {
        return;
    }
    let pairs = members.iter().map(|(name, value)| (*name, value.get()));
    assert!(pairs.eq(others.iter().map(|(name, value)| (*name, value.get()))));
    let tree: Option<Map<String, Value>> = members
        .iter()
        .map(|(name, value)| Some((name.unescape()?.into_owned(), serde_json::from_str(value.get()).ok()?)))
        .collect();
    // Nesting is bounded for trees only.
    if let (Some(tree), Ok(expected)) = (tree, serde_json::from_slice::<Value>(data)) {
        assert_eq!(Value::Object(tree), expected);
    }
    let Ok(payload) = Payload::parse_bytes(data.to_vec().into()) else { unreachable!("it is JSON") };
    for (name, _) in &members {
        let Some(name) = name.unescape() else { continue };
        let last = members.iter().rfind(|(other, _)| other.unescape().as_ref() == Some(&name));
        let found = payload.member(&name).expect("it is one of the members");
        assert_eq!(found.as_bytes(), last.expect("it is one of the members").1.get().as_bytes());
    }
});
