//! An event on its way to many: encoded once for each protocol that has a receiver.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{DeliveryClass, Event, Protocol};

/// An event and its frames: one complete WebSocket frame per protocol, made by the first receiver
/// that needs it and shared by all others.
#[derive(Debug)]
pub struct Parcel {
    /// The event itself.
    pub event: Event,
    /// What may happen to it on the way.
    pub class: DeliveryClass,
    frames: [OnceLock<Bytes>; Protocol::COUNT],
}

impl Parcel {
    /// Wraps an event for delivery.
    pub fn new(event: Event, class: DeliveryClass) -> Self {
        Parcel { event, class, frames: Default::default() }
    }

    /// The frame for a protocol; `encode` is called at most once for each.
    pub fn frame(&self, protocol: Protocol, encode: impl FnOnce(&Event) -> Bytes) -> &Bytes {
        self.frames[protocol.index()].get_or_init(|| encode(&self.event))
    }
}
