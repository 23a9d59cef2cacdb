//! Whatever a message holds: no panic, and what stands for it as an event is written as the same message.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use switchboard_wire::mesa::{self, Incoming, op};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let decoded = mesa::decode(&frame);
    // What a backend writes may have any operation; otherwise both read the same.
    let Ok(message) = mesa::decode_message(&frame) else {
        assert!(!matches!(decoded, Ok(Incoming::Message(_))), "what clients may say, backends may");
        return;
    };
    let is_own =
        [op::HEARTBEAT, op::AUTHENTICATE, op::INTERNAL, op::HELLO, op::HEARTBEAT_ACK, op::AUTHENTICATED];
    match decoded.expect("what backends may say is a frame") {
        Incoming::Message(said) => assert_eq!(said, message),
        _ => assert!(is_own.contains(&message.op), "{} is no operation of the protocol", message.op),
    }
    // A type that leaves no room for its operation has no name.
    let Ok(name) = message.name() else { return };
    let mut out = Vec::new();
    mesa::write_event(&mut out, &name, &message.data, Some(3));
    let again = mesa::decode_message(&out.into()).expect("what we write is a frame");
    assert_eq!(again, message, "as the event {name}");
});
