//! Any input: the decoder does not panic, and every payload is valid JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::Payload;
use switchboard_wire::emit::{self, Incoming};

fn assert_json(payload: &Payload) {
    serde_json::from_slice::<serde::de::IgnoredAny>(payload.as_bytes()).expect("a payload is JSON");
}

fuzz_target!(|data: &[u8]| {
    match emit::decode(data) {
        Ok(Incoming::Event { name, data, ack }) => {
            assert!(!name.starts_with('@'), "a peer cannot send a system event");
            assert_json(&data);
            ack.iter().for_each(assert_json);
            // A forwarded event decodes to the same event.
            let mut out = Vec::new();
            emit::write_event(&mut out, &name, &data);
            let again = emit::decode(&out[..]).expect("an encoded event can be decoded");
            assert_eq!(again, Incoming::Event { name, data, ack: None });
        }
        Ok(Incoming::Reply { ack, data }) => {
            assert_json(&ack);
            assert_json(&data);
        }
        Ok(_) | Err(_) => {}
    }
});
