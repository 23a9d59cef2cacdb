//! The tracer of a node: takes samples, and writes the steps that the hub and the node report into the ring.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_event::{Audience, Event, MessageNumber, ProjectId, SocketId, Target, TraceId, UserId};
use switchboard_hub::{Delivered, QueueEnd, QueueWatcher, ReceiverOutcome, Session, TracePoint};

use super::options::Tracing;
use super::record::{Described, NodeTrace, Outcome, RecentTrace, Recipient, Totals, TraceStep};
use super::ring::{Added, Ring};
use super::stored::StoredTraces;
use crate::node::clock::now_us;

/// Most targets of an audience in a description.
const TARGETS_MAX: usize = 32;

/// For how long a session has been detached; `None` if it is not.
pub(crate) type DetachedFor = Box<dyn Fn(&Session) -> Option<Duration> + Send + Sync>;

/// The tracer of a node.
pub(crate) struct Tracer {
    detached_for: DetachedFor,
    one_in: u32,
    /// Messages since the last one that was taken.
    passed: AtomicU32,
    ring: Mutex<Ring>,
    /// Set with the first traced message that is stored, so that acknowledgements of others cost nothing.
    has_stored: AtomicBool,
    stored: Mutex<StoredTraces>,
    messages: Gauge,
    steps: Counter,
    left_out: Counter,
}

impl Tracer {
    pub(crate) fn new(options: Tracing, detached_for: DetachedFor) -> Self {
        Tracer {
            detached_for,
            one_in: options.one_in,
            passed: AtomicU32::new(0),
            ring: Mutex::new(Ring::new(options)),
            has_stored: AtomicBool::new(false),
            stored: Mutex::default(),
            messages: gauge!("switchboard_traces"),
            steps: counter!("switchboard_trace_steps_total"),
            left_out: counter!("switchboard_trace_steps_dropped_total"),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no code that holds the ring panics")
    }

    fn stored(&self) -> MutexGuard<'_, StoredTraces> {
        self.stored.lock().expect("no code that holds the stored traces panics")
    }

    /// Records a step.
    pub(crate) fn add(&self, trace: TraceId, project: &ProjectId, step: TraceStep) {
        let mut ring = self.ring();
        let added = ring.add(project, trace, now_us(), step);
        self.messages.set(ring.len() as f64);
        drop(ring);
        let counter = if added == Added::Recorded { &self.steps } else { &self.left_out };
        counter.increment(1);
    }

    /// What this node has recorded of a message.
    pub(crate) fn read(&self, node: String, project: &ProjectId, trace: TraceId) -> Option<NodeTrace> {
        let (steps, left_out) = self.ring().steps(project, trace, now_us())?;
        Some(NodeTrace { node, steps, left_out })
    }

    /// The last messages that this node has recorded, the newest first.
    pub(crate) fn recent(&self, node: &str, project: &ProjectId, limit: usize) -> Vec<RecentTrace> {
        let recent = |(id, at_us, step): (TraceId, u64, &TraceStep)| {
            let (node, message) = (node.to_owned(), step.message()?.clone());
            let is_sender = !matches!(step, TraceStep::Received(_));
            Some(RecentTrace { id, node, at_us, is_sender, message })
        };
        self.ring().newest_first(project, now_us()).filter_map(recent).take(limit).collect()
    }

    /// Records that a stored message is sent to a socket of its user, and remembers it until it is acknowledged.
    pub(crate) fn sent_from_inbox(
        &self,
        session: &Session,
        event: &Event,
        number: MessageNumber,
        is_redelivery: bool,
    ) {
        let Some(trace) = event.trace else { return };
        let project = &session.project.id;
        self.stored().insert(project, number, trace);
        self.has_stored.store(true, Ordering::Relaxed);
        let recipient = recipient(session);
        self.add(trace, project, TraceStep::FromInbox { recipient, number: number.0, is_redelivery });
    }

    /// Records the acknowledgement of a stored message, if it is traced.
    pub(crate) fn acknowledged(&self, session: &Session, user: &UserId, number: MessageNumber) {
        if !self.has_stored.load(Ordering::Relaxed) {
            return;
        }
        let trace = self.stored().of(&session.project.id, number);
        if let Some(trace) = trace {
            let (socket, user) = (session.id, user.to_string());
            let step = TraceStep::Acknowledged { socket, user, number: number.0 };
            self.add(trace, &session.project.id, step);
        }
    }

    /// What happened at a receiver. A session without a connection is told apart from a socket that is closing.
    fn outcome(&self, session: &Session, outcome: ReceiverOutcome) -> Outcome {
        match outcome {
            ReceiverOutcome::Queued | ReceiverOutcome::Behind if session.outbox.is_paused() => {
                Outcome::HeldBack
            }
            ReceiverOutcome::Queued => Outcome::Queued,
            ReceiverOutcome::Behind => Outcome::Behind,
            ReceiverOutcome::Replaced => Outcome::Replaced,
            ReceiverOutcome::Dropped => Outcome::Dropped,
            ReceiverOutcome::Lagging => Outcome::Lagging,
            ReceiverOutcome::Overflowed => Outcome::Overflowed,
            ReceiverOutcome::Reserved => Outcome::Reserved,
            ReceiverOutcome::Closed => {
                let since = (self.detached_for)(session);
                let since_ms = since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
                since_ms.map_or(Outcome::Closing, |since_ms| Outcome::Detached { since_ms })
            }
        }
    }
}

impl QueueWatcher for Tracer {
    fn left_queue(&self, trace: TraceId, project: &ProjectId, socket: SocketId, end: QueueEnd) {
        let unsent = |reason: &str| TraceStep::Unsent { socket, reason: reason.into() };
        let step = match end {
            QueueEnd::Written => TraceStep::Written { socket },
            QueueEnd::Replaced => unsent("replaced"),
            QueueEnd::Dropped => unsent("dropped"),
            QueueEnd::Redelivered => unsent("redelivered"),
            QueueEnd::Unsent => unsent("disconnected"),
        };
        self.add(trace, project, step);
    }
}

impl switchboard_hub::Tracer for Tracer {
    fn sample(&self, _: &ProjectId, _: &Audience, _: &Event) -> Option<TraceId> {
        let passed = self.passed.fetch_add(1, Ordering::Relaxed);
        (self.one_in > 0 && passed.is_multiple_of(self.one_in)).then(TraceId::random)
    }

    fn record(&self, trace: TraceId, project: &ProjectId, point: TracePoint<'_>) {
        use switchboard_backplane::AppendOutcome;
        let history = |outcome: &str| TraceStep::History { outcome: outcome.into() };
        let step = match point {
            TracePoint::Sent(event, audience) => TraceStep::Sent(describe(event, audience)),
            TracePoint::Received(event, audience) => TraceStep::Received(describe(event, audience)),
            TracePoint::History(AppendOutcome::Delivered) => history("kept"),
            TracePoint::History(AppendOutcome::Queued) => history("queued"),
            TracePoint::History(AppendOutcome::Unavailable) => history("unavailable"),
            TracePoint::Numbered(room, position) => {
                TraceStep::Numbered { room: room.to_string(), offset: position.offset }
            }
            TracePoint::Excluded(session) => TraceStep::Excluded(recipient(session)),
            TracePoint::Receiver(session, outcome) => {
                TraceStep::Receiver { recipient: recipient(session), outcome: self.outcome(session, outcome) }
            }
            TracePoint::Resolved { delivered, excluded } => TraceStep::Resolved(totals(delivered, excluded)),
            TracePoint::Published(nodes) => TraceStep::Published { nodes },
            TracePoint::NotPublished(error) => TraceStep::NotPublished { reason: error.to_string() },
        };
        self.add(trace, project, step);
    }
}

/// Describes a message without its data.
pub(crate) fn describe(event: &Event, audience: &Audience) -> Described {
    let names = |targets: &[Target]| targets.iter().take(TARGETS_MAX).map(Target::to_string).collect();
    Described {
        event: event.name.to_string(),
        bytes: event.data.as_bytes().len(),
        sender: event.sender,
        to: names(&audience.to),
        except: names(&audience.except),
    }
}

/// Describes a socket.
pub(crate) fn recipient(session: &Session) -> Recipient {
    let user = session.user().map(|user| user.to_string());
    Recipient { socket: session.id, user, protocol: session.protocol.name().into() }
}

fn totals(delivered: Delivered, excluded: usize) -> Totals {
    let Delivered { queued, behind, replaced, dropped, lagging, overflowed, closed, reserved } = delivered;
    Totals { queued, behind, replaced, dropped, lagging, overflowed, closed, reserved, excluded }
}
