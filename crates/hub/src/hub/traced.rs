//! Sends and deliveries of traced messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use switchboard_backplane::{IfUnreached, Publication, PublishError};
use switchboard_event::{Audience, Event, Parcel, ProjectId, TraceId};

use super::Hub;
use crate::delivery::Delivered;
use crate::resolve;
use crate::session::Session;
use crate::trace::{MessageTracer, Receivers, TracePoint};

impl Hub {
    /// Gives a message of this node an id, if the tracer takes it as a sample. `None` if it has an id or gets none.
    pub fn sample(&self, project: &ProjectId, audience: &Audience, event: &Event) -> Option<TraceId> {
        match event.trace {
            None if self.tracing.is_sampling() => self.tracing.tracer()?.sample(project, audience, event),
            _ => None,
        }
    }

    /// The same message with an id, if the tracer takes it as a sample.
    pub(super) fn sampled(
        &self,
        project: &ProjectId,
        audience: &Audience,
        parcel: &Parcel,
    ) -> Option<Parcel> {
        let trace = self.sample(project, audience, &parcel.event)?;
        let event = Event { trace: Some(trace), ..parcel.event.clone() };
        Some(Parcel::new(event, parcel.policy.clone()))
    }

    /// Records a step of a message, if it is traced.
    pub fn trace(&self, project: &ProjectId, event: &Event, step: TracePoint<'_>) {
        if let Some(tracer) = self.tracing.of(project, event) {
            tracer.record(step);
        }
    }

    /// Records what becomes of a frame that is in the outbox of a socket, if its message is traced.
    pub fn watch(&self, session: &Session, event: &Event, frame: &Bytes) {
        if let Some(tracer) = self.tracing.of(&session.project.id, event) {
            tracer.watch(session, frame);
        }
    }

    /// Delivers to the sockets of this node, and records each.
    pub(super) fn deliver_traced(
        &self,
        tracer: MessageTracer<'_>,
        audience: &Audience,
        parcel: &Parcel,
    ) -> (Delivered, Vec<Arc<Session>>) {
        if let Some((room, position)) = parcel.position() {
            tracer.record(TracePoint::Numbered(room, position));
        }
        let mut receivers = Receivers::default();
        let mut fan_out = self.delivery.fan_out(parcel, audience);
        resolve::for_each_session(&self.index, tracer.project, audience, |session| {
            let before = fan_out.delivered;
            fan_out.deliver_to(session);
            receivers.push(session, &before, &fan_out.delivered);
        });
        let members = match &*audience.except {
            [] => Vec::new(),
            _ => self.members(tracer.project, &Audience { to: audience.to.clone(), except: Vec::new() }),
        };
        // Before the flush is scheduled, so that most frames are still queued.
        let frame = |session: &Session| self.delivery.frame(parcel, session);
        receivers.record(tracer, fan_out.delivered, &members, frame);
        fan_out.finish()
    }

    /// Publishes to other nodes, and records how many receive it.
    pub(super) fn publish_traced(
        &self,
        tracer: MessageTracer<'_>,
        publication: &Publication,
        if_unreached: IfUnreached,
    ) -> Result<(), PublishError> {
        let (recorder, trace, project) = (tracer.tracer.clone(), tracer.trace, tracer.project.clone());
        let unreached = self.delivery.stats.unreached.clone();
        let on_counted = move |nodes| {
            recorder.record(trace, &project, TracePoint::Published(nodes));
            if nodes == Some(0) && if_unreached == IfUnreached::Notify {
                unreached.fetch_add(1, Ordering::Relaxed);
            }
        };
        let published = self.bus.publish_counted(publication, Box::new(on_counted));
        published.inspect_err(|error| tracer.record(TracePoint::NotPublished(*error)))
    }
}
