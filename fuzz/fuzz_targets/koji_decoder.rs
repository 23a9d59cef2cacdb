//! Any input: the decoder does not panic, and a relayed event is valid JSON with the server's metadata.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard_event::{Event, SocketId};
use switchboard_wire::koji::{self, Incoming, MessageBounds};

fuzz_target!(|data: &[u8]| {
    let decoded = koji::decode(&Bytes::copy_from_slice(data), MessageBounds::default());
    let Ok(Incoming::Event { name, payload, .. }) = decoded else { return };
    assert!(!name.starts_with("@@KOJI_DISPATCH/"), "a client cannot send a platform event");
    let sender = SocketId::random();
    let event = Event { name, data: payload, sender: Some(sender), time_ms: 7 };
    let mut out = Vec::new();
    koji::write_event(&mut out, &event, 3);
    // Numbers beyond the range of a double are valid JSON but cannot become a `Value`.
    serde_json::from_slice::<serde::de::IgnoredAny>(&out).expect("an encoded event is JSON");
    if let Ok(frame) = serde_json::from_slice::<Value>(&out) {
        assert_eq!(frame["eventName"].as_str(), Some(event.name.as_str()));
        if let Some(payload) = frame["payload"].as_object() {
            assert_eq!(payload["__clientId"], sender.to_string());
            assert_eq!(payload["__timestamp"], 7);
        }
    }
});
