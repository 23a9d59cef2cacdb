//! Any input: the decoder does not panic, and a message round-trips through its event.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use switchboard_wire::DecodeError;
use switchboard_wire::mesa::{self, Incoming, op};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let decoded = mesa::decode(&frame);
    // A message of a backend may have any operation; otherwise both decoders agree.
    let Ok(message) = mesa::decode_message(&frame) else {
        assert!(!matches!(decoded, Ok(Incoming::Message(_))), "backends may send every message of a client");
        return;
    };
    let reserved =
        [op::HEARTBEAT, op::AUTHENTICATE, op::INTERNAL, op::HELLO, op::HEARTBEAT_ACK, op::AUTHENTICATED];
    match decoded {
        Ok(Incoming::Message(decoded)) => assert_eq!(decoded, message),
        Ok(_) | Err(DecodeError::Reserved(_)) => {
            assert!(reserved.contains(&message.op), "{} is not a reserved operation", message.op);
        }
        Err(error) => panic!("a message of a backend is a valid frame: {error}"),
    }
    // A type near the bound leaves no room for the operation in the event name.
    let Ok(name) = message.name() else { return };
    let mut out = Vec::new();
    mesa::write_event(&mut out, &name, &message.data, Some(3));
    let again = mesa::decode_message(&out[..]).expect("an encoded event is a frame");
    assert_eq!(again, message, "as the event {name}");
});
