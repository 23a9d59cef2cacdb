//! An event with its encoded frames, shared by all receivers.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{Event, OverflowPolicy, Position, Protocol, RoomName};

/// One frame per protocol. A protocol has no frame for an event with a name that it reserves.
type Frames = [OnceLock<Option<Bytes>>; Protocol::COUNT];

/// An event and its complete WebSocket frames: one per protocol, and one more for clients that receive positions. The
/// first receiver of a frame encodes it; the others share it.
#[derive(Debug)]
pub struct Parcel {
    /// The event.
    pub event: Event,
    /// How it is delivered to a full outbox.
    pub policy: OverflowPolicy,
    frames: Frames,
    /// Boxed: most events have no position.
    recorded: Option<Box<Recorded>>,
}

/// The place of an event in the history of its room.
#[derive(Debug)]
struct Recorded {
    room: RoomName,
    position: Position,
    frames: Frames,
}

impl Parcel {
    /// Wraps an event for delivery.
    pub fn new(event: Event, policy: OverflowPolicy) -> Self {
        Parcel { event, policy, frames: Default::default(), recorded: None }
    }

    /// Sets the place of the event in the history of its room.
    pub fn with_position(mut self, room: &RoomName, position: Position) -> Self {
        self.set_position(room, position);
        self
    }

    /// Sets the place of the event in the history of its room.
    pub fn set_position(&mut self, room: &RoomName, position: Position) {
        self.recorded = Some(Box::new(Recorded { room: room.clone(), position, frames: Default::default() }));
    }

    /// The place of the event in the history of its room.
    pub fn position(&self) -> Option<(&RoomName, Position)> {
        self.recorded.as_ref().map(|recorded| (&recorded.room, recorded.position))
    }

    /// The frame for a receiver, if its protocol has one: with the position if the receiver wants it and the event has
    /// one. `encode` gets the event and that position, and is called at most once per frame.
    pub fn frame(
        &self,
        protocol: Protocol,
        wants_position: bool,
        encode: impl FnOnce(&Event, Option<(&RoomName, Position)>) -> Option<Bytes>,
    ) -> Option<&Bytes> {
        let recorded = self.recorded.as_ref().filter(|_| wants_position);
        let frames = recorded.map_or(&self.frames, |recorded| &recorded.frames);
        let at = recorded.map(|recorded| (&recorded.room, recorded.position));
        frames[protocol.index()].get_or_init(|| encode(&self.event, at)).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, Name, Payload};

    #[test]
    fn a_frame_is_encoded_once_for_each_protocol_and_once_more_with_the_position() {
        let event = Event {
            name: Name::new("e").unwrap(),
            data: Payload::NULL,
            sender: None,
            time_ms: 0,
            trace: None,
        };
        let at = Position { epoch: Epoch(1), offset: 7 };
        let parcel = Parcel::new(event, OverflowPolicy::Live).with_position(&RoomName::new("r").unwrap(), at);
        let mut encoded = Vec::new();
        for (protocol, wants) in
            [(Protocol::Emit, true), (Protocol::Emit, false), (Protocol::Koji, true), (Protocol::Emit, true)]
        {
            parcel.frame(protocol, wants, |_, at| {
                encoded.push((protocol, at.map(|(_, position)| position.offset)));
                Some(Bytes::new())
            });
        }
        assert_eq!(encoded, [(Protocol::Emit, Some(7)), (Protocol::Emit, None), (Protocol::Koji, Some(7))]);
    }
}
