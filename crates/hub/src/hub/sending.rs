//! Sends, and delivery to the sockets of this node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use switchboard_backplane::{Content, IfUnreached, Publication, PublishError, Receiver};
use switchboard_event::{
    Audience, Event, MessageNumber, OverflowPolicy, Parcel, Position, ProjectId, RoomName, Target,
};

use super::{Hub, Scope};
use crate::delivery::Delivered;
use crate::hub_event::{HubEvent, Stage};
use crate::outbox::{CaughtUp, Placement, Slot};
use crate::resolve;
use crate::session::Session;
use crate::trace::TracePoint;

impl Hub {
    /// Delivers to the sockets of this node and, unless the scope forbids it, publishes to the other nodes. The
    /// result covers this node. A message that is lost is counted in [`HubStats`](crate::HubStats).
    pub fn send(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel, scope: Scope) -> Delivered {
        if let Some(parcel) = self.sampled(project, audience, parcel) {
            return self.send_by_policy(project, audience, &parcel, scope);
        }
        self.send_by_policy(project, audience, parcel, scope)
    }

    fn send_by_policy(
        &self,
        project: &ProjectId,
        audience: &Audience,
        parcel: &Parcel,
        scope: Scope,
    ) -> Delivered {
        self.trace(project, &parcel.event, TracePoint::Sent(&parcel.event, audience));
        if let Some(policy) = self.policy_of_room(audience, &parcel.policy) {
            let parcel = Parcel::new(parcel.event.clone(), policy.clone());
            return self.send_with_policy(project, audience, &parcel, scope);
        }
        self.send_with_policy(project, audience, parcel, scope)
    }

    /// The policy that a rule sets for a live message to exactly one room.
    pub(super) fn policy_of_room(
        &self,
        audience: &Audience,
        policy: &OverflowPolicy,
    ) -> Option<&OverflowPolicy> {
        match &*audience.to {
            [Target::Room(room)] if *policy == OverflowPolicy::Live && !self.overflow_rules.is_empty() => {
                self.overflow_rules.of(room)
            }
            _ => None,
        }
    }

    fn send_with_policy(
        &self,
        project: &ProjectId,
        audience: &Audience,
        parcel: &Parcel,
        scope: Scope,
    ) -> Delivered {
        if let Some(history) = &self.history
            && scope == Scope::AllNodes
            && let Some(delivered) = self.send_recorded(history, project, audience, parcel)
        {
            return delivered;
        }
        let delivered = self.deliver(project, audience, parcel);
        let is_unreached = delivered.addressed_nobody() && self.expects_recipient(project, audience);
        let if_unreached = if is_unreached { IfUnreached::Notify } else { IfUnreached::Ignore };
        if scope == Scope::AllNodes && !self.is_local(audience) {
            let position = parcel.position().map(|(_, position)| position);
            let content =
                Content::Event { event: parcel.event.clone(), policy: parcel.policy.clone(), position };
            // A loss is counted; the sender cannot react to it.
            if self.publish_to_others(project, audience, content, if_unreached).is_ok() {
                self.passed(&parcel.event, &parcel.policy, Stage::Published);
            }
        } else if is_unreached {
            self.unreached();
        }
        delivered
    }

    /// Reports that an event of a socket of this node is on its way to other nodes.
    pub(super) fn passed(&self, event: &Event, policy: &OverflowPolicy, stage: Stage) {
        if self.is_shared
            && *policy == OverflowPolicy::Live
            && let Some(sender) = event.sender.filter(|sender| sender.node() == self.bus.node())
        {
            let bytes = event.name.len() + event.data.as_bytes().len();
            self.notify(HubEvent::Passed { sender, bytes, stage });
        }
    }

    /// Publishes to other nodes, unless the audience consists of sockets of this node only.
    pub fn publish(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
    ) -> Result<(), PublishError> {
        match self.is_local(audience) {
            true => Ok(()),
            false => self.publish_to_others(project, audience, content, IfUnreached::Ignore),
        }
    }

    /// Returns true if an audience that reached nobody on this node should reach somebody: it names single users or
    /// sockets, and excludes none of this node's. A room may be empty.
    fn expects_recipient(&self, project: &ProjectId, audience: &Audience) -> bool {
        let is_client = |target: &Target| matches!(target, Target::User(_) | Target::Socket(_));
        let to = &audience.to;
        !to.is_empty() && to.iter().all(is_client) && {
            let without_exceptions = Audience { to: to.clone(), except: Vec::new() };
            audience.except.is_empty() || self.members(project, &without_exceptions).is_empty()
        }
    }

    /// Returns true if the audience consists of sockets of this node.
    pub(super) fn is_local(&self, audience: &Audience) -> bool {
        let node = self.bus.node();
        audience.to.iter().all(|target| matches!(target, Target::Socket(id) if id.node() == node))
    }

    pub(super) fn publish_to_others(
        &self,
        project: &ProjectId,
        audience: &Audience,
        content: Content,
        if_unreached: IfUnreached,
    ) -> Result<(), PublishError> {
        let publication = Publication { project: project.clone(), audience: audience.clone(), content };
        let tracer = match &publication.content {
            Content::Event { event, .. } if self.is_shared => self.tracing.of(project, event),
            _ => None,
        };
        let published = match tracer {
            Some(tracer) => self.publish_traced(tracer, &publication, if_unreached),
            None => self.bus.publish(&publication, if_unreached),
        };
        published.inspect_err(|error| {
            let stats = &self.delivery.stats;
            let lost = if *error == PublishError::Full { &stats.bus_full } else { &stats.bus_disconnected };
            lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Delivers to the sockets of this node.
    pub fn deliver(&self, project: &ProjectId, audience: &Audience, parcel: &Parcel) -> Delivered {
        let (delivered, receivers) = match self.tracing.of(project, &parcel.event) {
            Some(tracer) => self.deliver_traced(tracer, audience, parcel),
            None => {
                let mut fan_out = self.delivery.fan_out(parcel, audience);
                resolve::for_each_session(&self.index, project, audience, |session| {
                    fan_out.deliver_to(session)
                });
                fan_out.finish()
            }
        };
        if let (Some(sender), false) = (parcel.event.sender, receivers.is_empty()) {
            self.notify(HubEvent::Behind { sender, receivers });
        }
        delivered
    }

    /// Delivers one frame to one socket, whatever its protocol. Returns false if the socket is closing or
    /// missed the frame.
    pub fn deliver_frame(&self, session: &Arc<Session>, frame: &Bytes, policy: OverflowPolicy) -> bool {
        self.deliver_frame_to([session], frame, policy).queued == 1
    }

    /// Delivers one frame to some sockets, whatever their protocols.
    pub fn deliver_frame_to<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        policy: OverflowPolicy,
    ) -> Delivered {
        self.delivery.deliver(Placement::Next, sessions, frame, &policy)
    }

    /// Delivers a frame ahead of everything that is held back while the outbox is [paused](Self::pause).
    /// Returns false if the socket is closing.
    pub fn deliver_ahead(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.delivery.deliver(Placement::Ahead, [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Like [`deliver_ahead`](Self::deliver_ahead), without the bound: for a frame of a few bytes of which at
    /// most one is queued.
    pub fn deliver_unbounded(&self, session: &Arc<Session>, frame: &Bytes) -> bool {
        self.delivery.deliver(Placement::Unbounded, [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Delivers one frame to some sockets, in the place of the frame of the same slot that waits in their outboxes. It
    /// does not count towards the bound, and passes a [pause](Self::pause).
    pub fn deliver_latest<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        frame: &Bytes,
        slot: Slot,
    ) -> Delivered {
        self.delivery.deliver(Placement::Slot(slot), sessions, frame, &OverflowPolicy::Live)
    }

    /// Delivers a message that is stored in the inbox of the socket's user. Returns false if the socket is
    /// closing.
    pub fn deliver_stored(&self, session: &Arc<Session>, frame: &Bytes, number: MessageNumber) -> bool {
        self.delivery.deliver(Placement::Stored(number), [session], frame, &OverflowPolicy::Live).queued == 1
    }

    /// Queues a message of the history of a room in which the socket lags, or passes over it if `frame` is `None`. Such
    /// messages fill half of the outbox at most. Returns `None` if the lag has ended, and false if the outbox has no room.
    pub fn catch_up(
        &self,
        session: &Arc<Session>,
        number: u64,
        room: &RoomName,
        position: Position,
        frame: Option<&Bytes>,
    ) -> Option<bool> {
        let bytes_max = self.delivery.outbox_bytes_max.load(Ordering::Relaxed) / 2;
        match session.outbox.catch_up(number, room, position, frame, bytes_max) {
            CaughtUp::Queued(flush) => {
                if flush {
                    self.delivery.flush_scheduler.schedule(session.clone());
                }
                Some(true)
            }
            CaughtUp::Full => Some(false),
            CaughtUp::Ended => None,
        }
    }

    /// Pauses an outbox: frames are held back, except those [delivered ahead](Self::deliver_ahead). Every call
    /// needs one [`resume`](Self::resume).
    pub fn pause(&self, session: &Arc<Session>) {
        session.outbox.pause();
    }

    /// Ends one pause and drops held-back copies of stored messages that `is_redelivered` reports as delivered
    /// meanwhile. The last call releases the rest.
    pub fn resume(&self, session: &Arc<Session>, is_redelivered: impl Fn(MessageNumber) -> bool) {
        if session.outbox.resume(is_redelivered) {
            self.delivery.flush_scheduler.schedule(session.clone());
        }
    }

    /// Closes a socket that keeps too much in memory, as if its outbox were full.
    pub fn close_overflowed(&self, session: &Arc<Session>) {
        if session.outbox.overflow(self.delivery.overflow_frame.clone()) {
            self.delivery.stats.overflowed.fetch_add(1, Ordering::Relaxed);
            self.delivery.flush_scheduler.schedule(session.clone());
        }
    }

    /// Closes a socket after the frames that are queued for it.
    pub fn close(&self, session: &Arc<Session>, close_frame: Bytes) {
        if session.outbox.close(close_frame) {
            self.delivery.flush_scheduler.schedule(session.clone());
        }
    }
}
