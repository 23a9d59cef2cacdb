//! Any input: the decoder does not panic, and a relayed event is valid JSON with the server's metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use switchboard_event::json::for_each_member;
use switchboard_event::{Event, Payload, SocketId};
use switchboard_wire::koji::{self, Incoming, MessageBounds};

fuzz_target!(|data: &[u8]| {
    let decoded = koji::decode(data, MessageBounds::default());
    let Ok(Incoming::Event { name, payload, .. }) = decoded else { return };
    assert!(!koji::is_reserved(&name), "a client cannot send a platform event");
    let sender = SocketId::random();
    let event = Event { name, data: payload, sender: Some(sender), time_ms: 7, trace: None };
    let mut out = Vec::new();
    koji::write_event(&mut out, &event, 3);
    let frame = Payload::parse_bytes(out.into()).expect("an encoded event is JSON");
    assert_eq!(frame.member("eventName").unwrap().to_text().as_deref(), Some(event.name.as_str()));
    let payload = frame.member("payload").unwrap();
    if !payload.is_object() {
        assert_eq!(payload, event.data);
        return;
    }
    // Also for objects that Rust cannot represent: the metadata is there once, and it is the server's.
    let mut metadata = Vec::new();
    let visit = |name: switchboard_event::json::Text<'_>, value: &RawValue| {
        if matches!(name.unescape().as_deref(), Some("__clientId" | "__timestamp")) {
            metadata.push(value.get().to_owned());
        }
    };
    for_each_member(payload.as_bytes(), visit).expect("a payload is JSON");
    assert_eq!(metadata, [format!("\"{sender}\""), "7".into()], "{payload:?}");
});
