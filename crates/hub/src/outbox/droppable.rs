//! The queued frames that may be dropped to make room for others, oldest first.

use std::collections::{HashMap, VecDeque};

use switchboard_event::{LatestKey, Name, OverflowPolicy, RoomName, SocketId};

use super::message::Message;

/// A queued frame that may be dropped.
pub(super) struct Mark {
    /// The number of the frame; see [`Droppable`].
    number: u64,
    bytes: usize,
    key: Option<Key>,
    /// The room of the message, if it was sent to exactly one.
    pub(super) room: Option<RoomName>,
}

/// Identifies the frame that a newer one replaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    room: Option<RoomName>,
    of: KeyOf,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum KeyOf {
    Text(Name),
    Event(Option<SocketId>, Name),
}

impl Key {
    /// The key of a message; none if it replaces no other.
    pub(super) fn of(message: &Message<'_>) -> Option<Self> {
        let OverflowPolicy::Latest(key) = message.policy else { return None };
        let of = match key {
            LatestKey::Text(text) => KeyOf::Text(text.clone()),
            LatestKey::Event => message.event.map(|event| KeyOf::Event(event.sender, event.name.clone()))?,
        };
        Some(Key { room: message.room.cloned(), of })
    }
}

/// Marks of the droppable frames in a queue. The frames of the queue have consecutive numbers; they stay valid while frames
/// are removed at the front, and when the oldest droppable one is.
#[derive(Default)]
pub(super) struct Droppable {
    /// The number of the frame at the front of the queue.
    front: u64,
    marks: VecDeque<Mark>,
    numbers: HashMap<Key, u64>,
    /// Bytes of the marked frames.
    bytes: usize,
}

impl Droppable {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes of the frames that may be dropped.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Marks a frame at a place in the queue, behind all marked ones.
    pub(super) fn mark(&mut self, place: usize, bytes: usize, message: &Message<'_>) {
        self.bytes += bytes;
        let (number, key) = (self.front + place as u64, Key::of(message));
        if let Some(key) = &key {
            self.numbers.insert(key.clone(), number);
        }
        self.marks.push_back(Mark { number, bytes, key, room: message.room.cloned() });
    }

    /// The place of the frame that a message with this key replaces.
    pub(super) fn place_of(&self, key: &Key) -> Option<usize> {
        self.numbers.get(key).map(|number| (number - self.front) as usize)
    }

    /// The frame at a place has another size.
    pub(super) fn resized(&mut self, place: usize, bytes: usize) {
        let number = self.front + place as u64;
        if let Ok(at) = self.marks.binary_search_by_key(&number, |mark| mark.number) {
            let before = std::mem::replace(&mut self.marks[at].bytes, bytes);
            self.bytes = self.bytes - before + bytes;
        }
    }

    /// The frame at the front has left the queue.
    pub(super) fn popped(&mut self) {
        self.front += 1;
        if let Some(mark) = self.marks.pop_front_if(|mark| mark.number < self.front) {
            self.forget(&mark);
        }
    }

    /// Takes the mark of the oldest droppable frame, and its place. The caller removes the frame.
    pub(super) fn take_oldest(&mut self) -> Option<(usize, Mark)> {
        let mark = self.marks.pop_front()?;
        self.forget(&mark);
        let place = mark.number - self.front;
        // All other marks are behind it, and their frames move forward by one.
        self.front += 1;
        Some((place as usize, mark))
    }

    fn forget(&mut self, mark: &Mark) {
        self.bytes -= mark.bytes;
        // A newer frame with the key may have been queued while this one was under way.
        if let Some(key) = &mark.key
            && self.numbers.get(key) == Some(&mark.number)
        {
            self.numbers.remove(key);
        }
    }
}

impl Mark {
    pub(super) fn is_latest(&self) -> bool {
        self.key.is_some()
    }
}
