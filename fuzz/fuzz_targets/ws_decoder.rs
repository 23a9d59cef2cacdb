//! Any input, split into any pieces: the same messages, the same error, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_ws::{Decoder, Limits, Message, ProtocolError};

const LIMITS: Limits = Limits { frame_bytes_max: 4096, message_bytes_max: 8192 };

/// An opcode and a payload.
type OwnedMessage = (u8, Vec<u8>);

fn to_owned(message: Message<'_>) -> OwnedMessage {
    match message {
        Message::Text(payload) => {
            assert!(std::str::from_utf8(&payload).is_ok(), "a text is UTF-8");
            (1, payload.to_vec())
        }
        Message::Binary(payload) => (2, payload.to_vec()),
        Message::Ping(payload) => (9, payload.to_vec()),
        Message::Pong(payload) => (10, payload.to_vec()),
        Message::Close(close) => {
            let payload = close.map(|(code, reason)| [&code.0.to_be_bytes(), reason.as_bytes()].concat());
            (8, payload.unwrap_or_default())
        }
    }
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<OwnedMessage>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(message)) => messages.push(to_owned(message)),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = decode(std::iter::once(bytes));
    let pieces = decode(bytes.chunks(usize::from(cut).max(1)));
    // Pieces may reveal an error earlier, never later, and the messages before it are the same.
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
    assert_eq!(whole.0, pieces.0);
    assert!(whole.0.iter().all(|(_, payload)| payload.len() <= LIMITS.message_bytes_max));
});
