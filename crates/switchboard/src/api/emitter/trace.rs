//! Traces of messages that an emitter sends.

use switchboard_event::{Audience, Event, Name, Payload, TraceId};

use super::Emitter;
use crate::node::clock::now_ms;
use crate::node::errors::Forbidden;
use crate::node::trace::points::refused;

impl Emitter {
    /// Records what becomes of the message at each node, for [`App::trace`](crate::App::trace). The id of the trace is
    /// [`trace_id`](Self::trace_id), and [`Sent::trace`](crate::Sent::trace) after a send.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard::{App, Payload};
    /// let app = App::new();
    /// let sent = app.to("#lobby").trace().send_payload("news", Payload::of("hi")?)?;
    /// let trace = app.trace(sent.trace.unwrap()).await?;
    /// assert_eq!(trace.message().unwrap().event, "news");
    /// # Ok(()) }
    /// ```
    pub fn trace(self) -> Self {
        self.with_trace(TraceId::random())
    }

    /// Records the message like [`trace`](Self::trace), under an id that the caller has.
    ///
    /// ```
    /// # use switchboard::App;
    /// use switchboard::trace::TraceId;
    ///
    /// let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    /// assert_eq!(App::new().to("#lobby").with_trace(id).trace_id(), Some(id));
    /// ```
    pub fn with_trace(mut self, id: TraceId) -> Self {
        self.trace = Some(id);
        self
    }

    /// The id of the trace, if the message was asked to be traced.
    ///
    /// ```
    /// # use switchboard::App;
    /// assert!(App::new().to("#lobby").trace().trace_id().is_some());
    /// assert!(App::new().to("#lobby").trace_id().is_none());
    /// ```
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace
    }

    /// Records that the client may not send the message, if it is traced.
    pub(super) fn trace_refusal(
        &self,
        audience: &Audience,
        event: &str,
        data: &Payload,
        forbidden: &Forbidden,
    ) {
        let Ok(name) = Name::new(event) else { return };
        let (data, sender, trace) = (data.clone(), self.sender, self.trace);
        let event = Event { name, data, sender, time_ms: now_ms(), trace };
        refused(&self.node, &self.project, &event, audience, forbidden);
    }
}
