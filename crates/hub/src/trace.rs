//! The points at which the hub records what becomes of a traced message.
//!
//! A message with a [`TraceId`] is recorded at every node that it passes. While sampling is on, the hub also offers each
//! message of this node to the [`Tracer`], which may give it an id. Otherwise a send costs one relaxed load.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use switchboard_backplane::{AppendOutcome, PublishError};
use switchboard_event::{Audience, Event, Position, ProjectId, RoomName, TraceId};

use crate::delivery::Delivered;
use crate::outbox::{QueueWatcher, Watch};
use crate::session::Session;

/// Records the steps of traced messages. Must not block, nor call the hub.
pub trait Tracer: QueueWatcher {
    /// Returns the id for a message of this node that has none, if it is to be traced. Called while sampling is on.
    fn sample(&self, project: &ProjectId, audience: &Audience, event: &Event) -> Option<TraceId>;

    /// Records a step.
    fn record(&self, trace: TraceId, project: &ProjectId, step: TracePoint<'_>);
}

/// A step of a message at a node, as the hub sees it.
#[derive(Debug)]
pub enum TracePoint<'a> {
    /// This node sends it.
    Sent(&'a Event, &'a Audience),
    /// Another node, a dispatcher or a history has sent it to this node.
    Received(&'a Event, &'a Audience),
    /// The history of its room keeps it, does not, or numbers it before it is delivered.
    History(AppendOutcome),
    /// It has a place in the history of its room.
    Numbered(&'a RoomName, Position),
    /// A member of the audience that the message excludes.
    Excluded(&'a Arc<Session>),
    /// What happened at a receiver.
    Receiver(&'a Arc<Session>, ReceiverOutcome),
    /// The audience was resolved to the sockets of this node. Counts those without a step of their own as well.
    Resolved {
        /// The outcomes.
        delivered: Delivered,
        /// Sockets that the message excludes.
        excluded: usize,
    },
    /// It was published, to this many other nodes, if that is known.
    Published(Option<usize>),
    /// It was not published.
    NotPublished(PublishError),
}

/// The outcome of a delivery to one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverOutcome {
    /// It is queued.
    Queued,
    /// It is queued, and more than half of the outbox is full.
    Behind,
    /// It is queued in the place of an older one.
    Replaced,
    /// The socket missed it, because its outbox was full.
    Dropped,
    /// The socket will get it from the history of its room.
    Lagging,
    /// The socket is being closed, because its outbox was full.
    Overflowed,
    /// The socket is closing, or has no connection.
    Closed,
    /// The protocol of the socket reserves the name of the event.
    Reserved,
}

impl ReceiverOutcome {
    /// The outcome of the last delivery, by the totals before and after it.
    fn between(before: &Delivered, after: &Delivered) -> Self {
        let has_more = |count: fn(&Delivered) -> usize| count(after) > count(before);
        match () {
            () if has_more(|totals| totals.behind) => ReceiverOutcome::Behind,
            () if has_more(|totals| totals.queued) => ReceiverOutcome::Queued,
            () if has_more(|totals| totals.replaced) => ReceiverOutcome::Replaced,
            () if has_more(|totals| totals.dropped) => ReceiverOutcome::Dropped,
            () if has_more(|totals| totals.lagging) => ReceiverOutcome::Lagging,
            () if has_more(|totals| totals.overflowed) => ReceiverOutcome::Overflowed,
            () if has_more(|totals| totals.reserved) => ReceiverOutcome::Reserved,
            () => ReceiverOutcome::Closed,
        }
    }

    fn is_queued(self) -> bool {
        matches!(self, ReceiverOutcome::Queued | ReceiverOutcome::Behind | ReceiverOutcome::Replaced)
    }
}

/// The tracer of a hub.
#[derive(Default)]
pub(crate) struct Tracing {
    is_sampling: AtomicBool,
    tracer: OnceLock<Arc<dyn Tracer>>,
}

impl Tracing {
    pub(crate) fn set_tracer(&self, tracer: Arc<dyn Tracer>) {
        let _ = self.tracer.set(tracer);
    }

    pub(crate) fn set_sampling(&self, is_sampling: bool) {
        self.is_sampling.store(is_sampling, Ordering::Relaxed);
    }

    pub(crate) fn is_sampling(&self) -> bool {
        self.is_sampling.load(Ordering::Relaxed)
    }

    pub(crate) fn tracer(&self) -> Option<&Arc<dyn Tracer>> {
        self.tracer.get()
    }

    /// The recorder of a message; none for messages that are not traced.
    pub(crate) fn of<'a>(&'a self, project: &'a ProjectId, event: &Event) -> Option<MessageTracer<'a>> {
        let trace = event.trace?;
        Some(MessageTracer { tracer: self.tracer.get()?, trace, project })
    }
}

/// Records the steps of one message.
#[derive(Clone, Copy)]
pub(crate) struct MessageTracer<'a> {
    pub(crate) tracer: &'a Arc<dyn Tracer>,
    pub(crate) trace: TraceId,
    pub(crate) project: &'a ProjectId,
}

impl MessageTracer<'_> {
    pub(crate) fn record(&self, step: TracePoint<'_>) {
        self.tracer.record(self.trace, self.project, step);
    }

    pub(crate) fn watch(&self, session: &Session, frame: &Bytes) {
        let watcher: Arc<dyn QueueWatcher> = self.tracer.clone();
        let (frame, project) = (frame.clone(), self.project.clone());
        session.outbox.watch(Watch { frame, trace: self.trace, project, socket: session.id, watcher });
    }
}

/// The receivers of one traced message on this node, in the order of their deliveries.
#[derive(Default)]
pub(crate) struct Receivers(Vec<(Arc<Session>, ReceiverOutcome)>);

impl Receivers {
    /// Adds the receiver of the last delivery.
    pub(crate) fn push(&mut self, session: &Arc<Session>, before: &Delivered, after: &Delivered) {
        self.0.push((session.clone(), ReceiverOutcome::between(before, after)));
    }

    /// Records them, and watches their outboxes. `members` are those of the audience without its exceptions.
    pub(crate) fn record<'a>(
        &self,
        tracer: MessageTracer<'_>,
        delivered: Delivered,
        members: &[Arc<Session>],
        frame: impl Fn(&Session) -> Option<&'a Bytes>,
    ) {
        for (session, outcome) in &self.0 {
            tracer.record(TracePoint::Receiver(session, *outcome));
            if let Some(frame) = frame(session).filter(|_| outcome.is_queued()) {
                tracer.watch(session, frame);
            }
        }
        let receivers: HashSet<_> = self.0.iter().map(|(session, _)| session.id).collect();
        let excluded = members.iter().filter(|session| !receivers.contains(&session.id));
        let excluded = excluded.inspect(|session| tracer.record(TracePoint::Excluded(session))).count();
        tracer.record(TracePoint::Resolved { delivered, excluded });
    }
}
