//! What original Dispatchers stored for a user who was away: a JSON array of messages.

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_event::Event;

use super::messages::Message;
use crate::legacy::NoMessage;

/// The messages that can be read, in their order, and how many others there are; of what is no array
/// nothing can be.
pub(crate) fn read(stored: &Bytes) -> (Vec<Event>, usize) {
    let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(stored) else { return (Vec::new(), 1) };
    let events: Vec<Event> = entries.iter().filter_map(|entry| event(stored, entry).ok().flatten()).collect();
    let unreadable = entries.len() - events.len();
    (events, unreadable)
}

fn event(stored: &Bytes, entry: &RawValue) -> Result<Option<Event>, NoMessage> {
    let message: Message<'_> = serde_json::from_str(entry.get())?;
    message.event(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stored: &str) -> (Vec<String>, usize) {
        let (events, unreadable) = read(&Bytes::copy_from_slice(stored.as_bytes()));
        (events.iter().map(|event| format!("{} {:?}", event.name, event.data)).collect(), unreadable)
    }

    #[test]
    fn what_dispatchers_stored_is_read_in_its_order_and_garbage_takes_nothing_with_it() {
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
