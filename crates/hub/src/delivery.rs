//! Delivery into outboxes: appends frames, schedules flushes, counts the outcomes and reports losses.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use switchboard_event::{Audience, Event, OverflowPolicy, Parcel, Position, Protocol, RoomName, Target};

use crate::hub_event::{HubEvent, Listener};
use crate::outbox::{Appended, Bound, DroppedFrames, Message, Placement};
use crate::session::Session;

/// Encodes an event as a complete WebSocket frame of a protocol, with its position for clients that receive positions.
/// `None` if the protocol reserves the event's name.
pub type Encode = fn(Protocol, &Event, Option<(&RoomName, Position)>) -> Option<Bytes>;

/// Schedules the flush of outboxes. The hub schedules an outbox once, and again only after its flush.
pub trait FlushScheduler: Send + Sync + 'static {
    /// Flushes one outbox soon.
    fn schedule(&self, session: Arc<Session>);

    /// Flushes many outboxes soon.
    fn schedule_all(&self, sessions: Vec<Arc<Session>>);
}

/// The outcome of a delivery on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Sockets with the frame in their outbox.
    pub queued: usize,
    /// Those of them that are behind: more than half of their outbox is full.
    pub behind: usize,
    /// Sockets in whose outbox it took the place of an older frame of its slot or key.
    pub replaced: usize,
    /// Sockets that missed the frame, by its overflow policy, because their outbox was full.
    pub dropped: usize,
    /// Sockets that will get it from the history of its room, because their outbox was full.
    pub lagging: usize,
    /// Sockets that are being closed because their outbox was full.
    pub overflowed: usize,
    /// Sockets that were closing already.
    pub closed: usize,
    /// Sockets that do not receive the event, because their protocol reserves its name.
    pub reserved: usize,
}

impl Delivered {
    /// Returns true if no socket of this node was addressed.
    pub fn addressed_nobody(&self) -> bool {
        *self == Delivered::default()
    }
}

/// Totals since the hub was created.
#[derive(Debug, Default)]
pub struct HubStats {
    /// Frames put into outboxes.
    pub queued: AtomicU64,
    /// Bytes put into outboxes.
    pub queued_bytes: AtomicU64,
    /// Frames in outboxes replaced by newer ones before they were sent.
    pub replaced: AtomicU64,
    /// Frames dropped at a full outbox, by the policies of their messages.
    pub dropped: DroppedFrames,
    /// Messages that receivers will get from the history of their room, because their outbox was full.
    pub lagging: AtomicU64,
    /// Sockets closed because their outbox was full.
    pub overflowed: AtomicU64,
    /// Frames for sockets that were closing.
    pub closed: AtomicU64,
    /// Events for sockets whose protocol reserves the name.
    pub reserved: AtomicU64,
    /// Frames that were queued when their connection ended.
    pub unsent: AtomicU64,
    /// Events for users or sockets of which none was connected, as far as this node can know.
    pub unreached: Arc<AtomicU64>,
    /// Messages that the history of their room has taken.
    pub recorded: AtomicU64,
    /// Messages that it did not take because it was unavailable.
    pub unrecorded: AtomicU64,
    /// Publications dropped because the bus was full.
    pub bus_full: AtomicU64,
    /// Publications dropped because the bus was disconnected.
    pub bus_disconnected: AtomicU64,
}

pub(crate) struct Delivery {
    pub(crate) encode: Encode,
    pub(crate) flush_scheduler: Arc<dyn FlushScheduler>,
    pub(crate) overflow_frame: Bytes,
    pub(crate) outbox_bytes_max: AtomicUsize,
    pub(crate) stats: HubStats,
    pub(crate) listener: OnceLock<Listener>,
}

impl Delivery {
    pub(crate) fn deliver<'a>(
        &self,
        placement: Placement,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        policy: &OverflowPolicy,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        for session in sessions {
            if self.append(session, frame, Message::with_policy(policy), placement, &mut delivered) {
                self.flush_scheduler.schedule(session.clone());
            }
        }
        self.count(&delivered, frame.len());
        delivered
    }

    /// The frame of a parcel for a receiver.
    pub(crate) fn frame<'a>(&self, parcel: &'a Parcel, session: &Session) -> Option<&'a Bytes> {
        let protocol = session.protocol;
        let encode = |event: &Event, at: Option<(&RoomName, Position)>| (self.encode)(protocol, event, at);
        parcel.frame(protocol, session.wants_positions, encode)
    }

    /// Starts the delivery of one parcel to many outboxes.
    pub(crate) fn fan_out<'a>(&'a self, parcel: &'a Parcel, audience: &'a Audience) -> FanOut<'a> {
        let room = match &*audience.to {
            [Target::Room(room)] => Some(room),
            _ => None,
        };
        let position = parcel.position().map(|(_, position)| position);
        FanOut {
            delivery: self,
            parcel,
            message: Message { policy: &parcel.policy, event: Some(&parcel.event), room, position },
            delivered: Delivered::default(),
            frame_bytes: 0,
            to_flush: Vec::new(),
            behind: Vec::new(),
        }
    }

    /// Returns true if the caller must schedule a flush.
    #[inline]
    fn append(
        &self,
        session: &Arc<Session>,
        frame: &Bytes,
        message: Message<'_>,
        placement: Placement,
        delivered: &mut Delivered,
    ) -> bool {
        let bytes_max = self.outbox_bytes_max.load(Ordering::Relaxed);
        let bound = Bound { bytes_max, overflow_frame: &self.overflow_frame, dropped: &self.stats.dropped };
        let (appended, has_losses) = session.outbox.append(frame, message, placement, bound);
        if has_losses {
            self.notify(HubEvent::Overflowed(session.clone()));
        }
        match appended {
            Appended::Queued(flush) => {
                delivered.queued += 1;
                return flush;
            }
            Appended::Behind(flush) => {
                delivered.queued += 1;
                delivered.behind += 1;
                return flush;
            }
            Appended::Paused => delivered.queued += 1,
            Appended::Replaced => delivered.replaced += 1,
            Appended::Dropped => delivered.dropped += 1,
            Appended::Lagging => delivered.lagging += 1,
            Appended::Overflowed => {
                delivered.overflowed += 1;
                return true;
            }
            Appended::Closed => delivered.closed += 1,
        }
        false
    }

    pub(crate) fn notify(&self, event: HubEvent) {
        if let Some(listener) = self.listener.get() {
            listener(event);
        }
    }

    fn count(&self, delivered: &Delivered, frame_bytes: usize) {
        let add = |counter: &AtomicU64, by: usize| {
            if by > 0 {
                counter.fetch_add(by as u64, Ordering::Relaxed);
            }
        };
        add(&self.stats.queued, delivered.queued);
        add(&self.stats.queued_bytes, delivered.queued * frame_bytes);
        add(&self.stats.replaced, delivered.replaced);
        add(&self.stats.lagging, delivered.lagging);
        add(&self.stats.overflowed, delivered.overflowed);
        add(&self.stats.closed, delivered.closed);
        add(&self.stats.reserved, delivered.reserved);
    }
}

/// The delivery of one parcel to many outboxes. Flushes are scheduled together at the end.
pub(crate) struct FanOut<'a> {
    delivery: &'a Delivery,
    parcel: &'a Parcel,
    message: Message<'a>,
    pub(crate) delivered: Delivered,
    frame_bytes: usize,
    to_flush: Vec<Arc<Session>>,
    /// The receivers for which the sender is to wait.
    behind: Vec<Arc<Session>>,
}

impl FanOut<'_> {
    pub(crate) fn deliver_to(&mut self, session: &Arc<Session>) {
        let delivery = self.delivery;
        let Some(frame) = delivery.frame(self.parcel, session) else { return self.delivered.reserved += 1 };
        self.frame_bytes = frame.len();
        let behind = self.delivered.behind;
        if delivery.append(session, frame, self.message, Placement::Next, &mut self.delivered) {
            self.to_flush.push(session.clone());
        }
        // Other messages can be dropped, so their sender need not wait.
        if self.delivered.behind > behind && *self.message.policy == OverflowPolicy::Live {
            self.behind.push(session.clone());
        }
    }

    /// Returns the outcome, and the receivers for which the sender is to wait.
    pub(crate) fn finish(self) -> (Delivered, Vec<Arc<Session>>) {
        if !self.to_flush.is_empty() {
            self.delivery.flush_scheduler.schedule_all(self.to_flush);
        }
        self.delivery.count(&self.delivered, self.frame_bytes);
        (self.delivered, self.behind)
    }
}
