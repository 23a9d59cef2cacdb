//! Messages that original Dispatchers stored for an offline user: a JSON array.

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_event::Event;

use super::messages::Message;
use crate::legacy::servers::LegacyDecodeError;

/// Decodes the messages, in their order, and counts those that cannot be decoded. Anything but an array is one
/// such message.
pub(super) fn read(stored: &Bytes) -> (Vec<Event>, usize) {
    let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(stored) else { return (Vec::new(), 1) };
    let events: Vec<Event> = entries.iter().filter_map(|entry| event(stored, entry).ok().flatten()).collect();
    let undecodable = entries.len() - events.len();
    (events, undecodable)
}

fn event(stored: &Bytes, entry: &RawValue) -> Result<Option<Event>, LegacyDecodeError> {
    Message::read(entry)?.event(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stored: &str) -> (Vec<String>, usize) {
        let (events, undecodable) = read(&Bytes::copy_from_slice(stored.as_bytes()));
        (events.iter().map(|event| format!("{} {:?}", event.name, event.data)).collect(), undecodable)
    }

    #[test]
    fn stored_messages_are_decoded_in_order_and_invalid_ones_are_skipped() {
        let stored = r#"[{"op":0,"d":{"n": 1e400},"t":"A"}, null, {"op":7,"d":[],"o":{"sync":true}}, 7, {},
            {"op":"0","t":"B"}, {"op":5,"t":"DISCONNECT_CLIENT"}, {"op":0,"t":"\u0043"}, [1]]"#;
        let texts = ["A {\"n\": 1e400}", "@op/7 []", "C {}"].map(str::to_owned).to_vec();
        assert_eq!(shown(stored), (texts, 6));
        assert_eq!(shown("[]"), (Vec::new(), 0));
        for garbage in ["", "{bad", "null", "{}", "\"text\"", "[1", "[]]"] {
            assert_eq!(shown(garbage), (Vec::new(), 1), "{garbage}");
        }
    }
}
