//! Any input, split into any pieces: the same items, the same error, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_ws::{Decoder, Item, Limits, ProtocolError};

const LIMITS: Limits = Limits { frame_bytes_max: 4096, message_bytes_max: 8192 };

/// An opcode and a payload.
type OwnedItem = (u8, Vec<u8>);

fn to_owned(item: Item<'_>) -> OwnedItem {
    match item {
        Item::Text(payload) => {
            assert!(std::str::from_utf8(&payload).is_ok(), "a text is UTF-8");
            (1, payload.to_vec())
        }
        Item::Binary(payload) => (2, payload.to_vec()),
        Item::Ping(payload) => (9, payload.to_vec()),
        Item::Pong(payload) => (10, payload.to_vec()),
        Item::Close(close) => {
            let payload = close.map(|(code, reason)| [&code.0.to_be_bytes(), reason.as_bytes()].concat());
            (8, payload.unwrap_or_default())
        }
    }
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<OwnedItem>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut items = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.next(&mut input) {
                Ok(Some(item)) => items.push(to_owned(item)),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = decode(std::iter::once(bytes));
    let pieces = decode(bytes.chunks(usize::from(cut).max(1)));
    // Pieces may reveal an error earlier, never later, and the items before it are the same.
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
    assert_eq!(whole.0, pieces.0);
    assert!(whole.0.iter().all(|(_, payload)| payload.len() <= LIMITS.message_bytes_max));
});
