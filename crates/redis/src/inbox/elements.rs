//! What stands in the list of an inbox: number and event of each message by turns. A number has 8 bytes; no event
//! is as short.

use bytes::Bytes;
use switchboard_backplane::StoredMessage;
use switchboard_event::{Event, MessageNumber};

/// Elements of a list, read.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) waiting: Vec<StoredMessage>,
    /// The bytes of each, as they are accounted for.
    pub(super) sizes: Vec<u32>,
    /// Elements that are no part of a message, or of one that cannot be read.
    pub(super) garbage: Vec<Bytes>,
}

impl Messages {
    /// Reads elements of a list, of which no more were asked for than `most` messages have.
    pub(super) fn read(elements: Vec<Bytes>, most: usize) -> Self {
        let is_end = elements.len() < 2 * most;
        let mut messages = Messages::default();
        let mut elements = elements.into_iter().peekable();
        while let Some(element) = elements.next() {
            let Some(number) = number_of(&element) else {
                messages.garbage.push(element);
                continue;
            };
            match elements.next_if(|next| number_of(next).is_none()) {
                Some(written) => match Event::read(written.clone()) {
                    Ok(event) => messages.add(StoredMessage { number, event }, &written),
                    Err(_) => messages.garbage.extend([element, written]),
                },
                // Its event may be the first that was not asked for.
                None if elements.peek().is_none() && !is_end => {}
                None => messages.garbage.push(element),
            }
        }
        messages
    }

    fn add(&mut self, waiting: StoredMessage, written: &[u8]) {
        self.waiting.push(waiting);
        self.sizes.push(Event::size_of(written));
    }
}

/// The number that stands there, if it is one.
fn number_of(element: &Bytes) -> Option<MessageNumber> {
    let bytes = element.as_ref().try_into().ok()?;
    Some(MessageNumber(u64::from_be_bytes(bytes)))
}

/// The number of the first of the messages; none if a number is not the first.
pub(super) fn first_number(elements: &[Bytes]) -> Option<MessageNumber> {
    number_of(elements.first()?)
}

/// When the first of the messages was put, in ms of the clock of Redis; none if a number is not the first.
pub(super) fn first_put_ms(elements: &[Bytes]) -> Option<u64> {
    first_number(elements).map(|number| number.0 >> 20)
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload};

    use super::*;

    fn written(name: &str) -> Bytes {
        let event = Event { name: Name::new(name).unwrap(), data: Payload::EMPTY, sender: None, time_ms: 0 };
        let mut out = Vec::new();
        event.write(&mut out);
        out.into()
    }

    fn number(number: u64) -> Bytes {
        number.to_be_bytes().to_vec().into()
    }

    /// The numbers of what was read, and how many elements are garbage.
    fn read(elements: &[Bytes], most: usize) -> (Vec<u64>, usize) {
        let messages = Messages::read(elements.to_vec(), most);
        assert_eq!(messages.waiting.len(), messages.sizes.len());
        (messages.waiting.iter().map(|waiting| waiting.number.0).collect(), messages.garbage.len())
    }

    #[test]
    fn garbage_hides_no_message_wherever_it_stands() {
        let good = [number(1), written("a"), number(2), written("b")];
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
    fn a_number_whose_event_was_not_asked_for_is_no_garbage() {
        let elements = ["x".into(), number(1), written("a"), number(2)];
        assert_eq!(read(&elements, 2), (vec![1], 1));
        assert_eq!(read(&elements, 3), (vec![1], 2), "there is nothing behind it");
    }
}
