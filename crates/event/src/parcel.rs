//! An event with its encoded frames, shared by all receivers.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{DeliveryClass, Event, Protocol};

/// An event and one complete WebSocket frame per protocol. The first receiver of a protocol encodes the frame;
/// the others share it. A protocol has no frame for an event whose name it reserves.
#[derive(Debug)]
pub struct Parcel {
    /// The event.
    pub event: Event,
    /// How it is delivered to a full outbox.
    pub class: DeliveryClass,
    frames: [OnceLock<Option<Bytes>>; Protocol::COUNT],
}

impl Parcel {
    /// Wraps an event for delivery.
    pub fn new(event: Event, class: DeliveryClass) -> Self {
        Parcel { event, class, frames: Default::default() }
    }

    /// The frame for a protocol, if it has one; `encode` is called at most once per protocol.
    pub fn frame(&self, protocol: Protocol, encode: impl FnOnce(&Event) -> Option<Bytes>) -> Option<&Bytes> {
        self.frames[protocol.index()].get_or_init(|| encode(&self.event)).as_ref()
    }
}
