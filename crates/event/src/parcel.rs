//! An event on its way to many: encoded once for each dialect that has a receiver.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{DeliveryClass, Dialect, Event};

/// An event and its frames: one complete WebSocket frame per dialect, made by the first receiver
/// that needs it and shared by all others.
#[derive(Debug)]
pub struct Parcel {
    /// The event itself.
    pub event: Event,
    /// What may happen to it on the way.
    pub class: DeliveryClass,
    frames: [OnceLock<Bytes>; Dialect::COUNT],
}

impl Parcel {
    /// Wraps an event for delivery.
    pub fn new(event: Event, class: DeliveryClass) -> Self {
        Parcel { event, class, frames: Default::default() }
    }

    /// The frame for a dialect; `encode` is called at most once for each.
    pub fn frame(&self, dialect: Dialect, encode: impl FnOnce(&Event) -> Bytes) -> &Bytes {
        self.frames[dialect.index()].get_or_init(|| encode(&self.event))
    }
}
