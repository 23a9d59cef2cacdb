//! The list of an inbox: the number and the event of each message, alternating. A number has 8 bytes, and every
//! event has more.

use bytes::Bytes;
use switchboard_backplane::StoredMessage;
use switchboard_event::{Event, MessageNumber};

/// Decoded elements of a list.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) stored: Vec<StoredMessage>,
    /// The size of each message, as the totals count it.
    pub(super) sizes: Vec<u32>,
    /// Elements that belong to no message, or to one that cannot be decoded.
    pub(super) undecodable: Vec<Bytes>,
}

impl Messages {
    /// Decodes elements of a list, of which at most those of `max` messages were requested.
    pub(super) fn read(elements: Vec<Bytes>, max: usize) -> Self {
        let is_end = elements.len() < 2 * max;
        let mut messages = Messages::default();
        let mut elements = elements.into_iter().peekable();
        while let Some(element) = elements.next() {
            let Some(number) = number_of(&element) else {
                messages.undecodable.push(element);
                continue;
            };
            match elements.next_if(|next| number_of(next).is_none()) {
                Some(encoded) => match Event::read(encoded.clone()) {
                    Ok(event) => messages.add(StoredMessage { number, event }, &encoded),
                    Err(_) => messages.undecodable.extend([element, encoded]),
                },
                // Its event may be the first element that was not requested.
                None if elements.peek().is_none() && !is_end => {}
                None => messages.undecodable.push(element),
            }
        }
        messages
    }

    fn add(&mut self, message: StoredMessage, encoded: &[u8]) {
        self.stored.push(message);
        self.sizes.push(Event::size_of(encoded));
    }
}

/// The number in an element, if it is one.
fn number_of(element: &Bytes) -> Option<MessageNumber> {
    let bytes = element.as_ref().try_into().ok()?;
    Some(MessageNumber(u64::from_be_bytes(bytes)))
}

/// The number of the oldest message. `None` if the list does not begin with a number.
pub(super) fn first_number(elements: &[Bytes]) -> Option<MessageNumber> {
    number_of(elements.first()?)
}

/// Time at which the oldest message was stored, in ms of Redis' clock. `None` if the list does not begin with a
/// number.
pub(super) fn first_stored_ms(elements: &[Bytes]) -> Option<u64> {
    first_number(elements).map(|number| number.0 >> 20)
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload};

    use super::*;

    fn encoded(name: &str) -> Bytes {
        let event = Event {
            name: Name::new(name).unwrap(),
            data: Payload::EMPTY,
            sender: None,
            time_ms: 0,
            trace: None,
        };
        let mut out = Vec::new();
        event.write(&mut out);
        out.into()
    }

    fn number(number: u64) -> Bytes {
        number.to_be_bytes().to_vec().into()
    }

    /// The numbers of the decoded messages, and how many elements are undecodable.
    fn read(elements: &[Bytes], max: usize) -> (Vec<u64>, usize) {
        let messages = Messages::read(elements.to_vec(), max);
        assert_eq!(messages.stored.len(), messages.sizes.len());
        (messages.stored.iter().map(|message| message.number.0).collect(), messages.undecodable.len())
    }

    #[test]
    fn undecodable_elements_hide_no_message() {
        let good = [number(1), encoded("a"), number(2), encoded("b")];
        assert_eq!(read(&good, 2), (vec![1, 2], 0));
        let garbage: [&[Bytes]; 5] = [
            &[Bytes::new()],
            &["no event".into()],
            &["no number, no event".into()],
            &[number(7), "no event either".into()],
            &[number(7), number(8), "x".into(), "y".into()],
        ];
        for garbage in garbage {
            for at in [0, 2, 4] {
                let elements = [&good[..at], garbage, &good[at..]].concat();
                assert_eq!(read(&elements, 10), (vec![1, 2], garbage.len()), "{garbage:?} at {at}");
            }
        }
    }

    #[test]
    fn a_last_number_whose_event_was_not_requested_is_not_undecodable() {
        let elements = ["x".into(), number(1), encoded("a"), number(2)];
        assert_eq!(read(&elements, 2), (vec![1], 1));
        assert_eq!(read(&elements, 3), (vec![1], 2), "the list ends with it");
    }
}
