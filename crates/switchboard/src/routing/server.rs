//! An app that is being served: starts the handlers of events and processes their responses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};
use switchboard_event::{Payload, ProjectId, Protocol};
use switchboard_hub::Session;
use switchboard_log::{limited, printable, printable_error};
use switchboard_ws::frame::OpCode;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::clock::now;
use crate::node::connection_info::ConnectionInfo;
use crate::node::connection_state::ConnectionState;
use crate::node::refused_event::RefusedEvent;
use crate::node::system_events::{HookSink, SystemEvent};
use crate::node::tasks::{Panic, panic_message};
use crate::routing::handler::{ResponseFuture, catch_panic, poll_once, run_to_end};
use crate::routing::hooks::{self, Hooks};
use crate::routing::reply::{Answer, ReplyError, Response};
use crate::routing::request::Request;
use crate::routing::router::Routes;

/// Receives WebSocket messages in place of a protocol. For conformance suites.
pub(crate) type RawHandler = fn(&Socket, OpCode, &[u8]);

/// An app and its lookup tables of routes.
pub(crate) struct Server {
    pub(crate) app: App,
    /// One table per protocol.
    routes: [Routes; Protocol::COUNT],
    /// Longest frame that each protocol accepts, whatever the limits are.
    frame_bytes_max: [usize; Protocol::COUNT],
    pub(crate) raw: Option<RawHandler>,
}

impl Server {
    pub(crate) fn new(
        app: &App,
        routes: [Routes; Protocol::COUNT],
        frame_bytes_max: [usize; Protocol::COUNT],
    ) -> Self {
        Server {
            app: app.clone(),
            routes,
            frame_bytes_max,
            raw: app.setup().extension::<RawHandler>().copied(),
        }
    }

    /// Longest frame of a protocol's clients, in bytes.
    pub(crate) fn frame_bytes_max(&self, protocol: Protocol) -> usize {
        self.frame_bytes_max[protocol.index()].min(self.app.limits().message_bytes_max)
    }

    /// Returns true if the clients of a protocol have a handler or middleware.
    pub(crate) fn handles(&self, protocol: Protocol) -> bool {
        !self.routes[protocol.index()].is_empty()
    }

    /// Starts the handler of an event. A handler that never waits has finished when this returns.
    pub(crate) fn handle(self: &Arc<Self>, request: Request, started: Instant) {
        let routes = &self.routes[request.socket().session().protocol.index()];
        let mut future = match catch_panic(|| routes.call(request.clone())) {
            Ok(future) => future,
            Err(panic) => return self.complete(&request, Err(panic), started),
        };
        match poll_once(&mut future) {
            Some(outcome) => self.complete(&request, outcome, started),
            None => self.spawn_rest(request, future, started),
        }
    }

    /// Runs the rest of a handler in a task of its own, counted by its connection.
    fn spawn_rest(self: &Arc<Self>, request: Request, future: ResponseFuture, started: Instant) {
        let server = self.clone();
        request.socket().connection_state().handlers.fetch_add(1, Ordering::Relaxed);
        self.app.node().tasks.spawn(async move {
            let outcome = run_to_end(future).await;
            server.complete(&request, outcome, started);
            let in_flight = request.socket().connection_state().handlers.fetch_sub(1, Ordering::Relaxed);
            if in_flight as usize >= server.app.limits().handlers_in_flight_max {
                request.socket().session().outbox.wake_owner();
            }
        });
    }

    /// Records the handler's duration, sends the reply, and calls the `@error` hooks if it failed.
    fn complete(&self, request: &Request, outcome: Result<Response, Panic>, started: Instant) {
        let meters = self.app.node().meters().of(request.socket().session().protocol);
        meters.record_handler(now().saturating_duration_since(started));
        let response = outcome.unwrap_or_else(|panic| {
            meters.handler_panics.increment(1);
            let message = panic_message(&*panic);
            limited!(ERROR, event = printable(request.event()), socket = %request.id(), panic = printable(&message), "handler panicked; no reply is sent");
            self.notify_error_hooks(request.socket(), request.event(), "panic", &message);
            Response::none()
        });
        match &response.answer {
            Answer::Value(payload) => request.reply_payload(payload),
            Answer::Done if !request.has_replied() => request.reply_payload(&Payload::NULL),
            Answer::Done | Answer::None => {}
        }
        if let Some(error) = response.error {
            if !request.wants_reply() {
                self.notify_refused(request.socket(), request.event(), &error);
            }
            match error.cause() {
                Some(cause) => {
                    limited!(ERROR, event = printable(request.event()), socket = %request.id(), error = printable_error(cause), "handler failed; the client receives `internal error`");
                }
                None => {
                    limited!(DEBUG, event = printable(request.event()), socket = %request.id(), error = printable(&error), "event was answered with an error")
                }
            }
            self.notify_error_hooks(request.socket(), request.event(), error.code(), &error.to_string());
        }
    }

    /// Refuses an event with an invalid name; `shown` is the name as the client receives it.
    pub(crate) fn unroutable(&self, socket: &Socket, shown: &str, ack: Option<&Payload>) {
        if let (Some(error), None) = (self.unhandled(socket, shown, ack).error, ack) {
            self.notify_refused(socket, shown, &error);
        }
    }

    /// Counts an event with an invalid name, and replies if it is a request.
    pub(crate) fn unhandled(&self, socket: &Socket, shown: &str, ack: Option<&Payload>) -> Response {
        self.app.node().meters().of(socket.session().protocol).unhandled_events.increment(1);
        let response = Response::unknown_event(shown);
        if let (Some(ack), Answer::Value(reply)) = (ack, &response.answer) {
            socket.reply(ack, reply);
        }
        response
    }

    /// Notifies the client of an error of its event, which is no request.
    fn notify_refused(&self, socket: &Socket, event: &str, error: &ReplyError) {
        let refused = RefusedEvent::new(event, error.code(), error.message().to_owned());
        let retry_after_ms = error.retry_after_ms();
        socket.node().notify_refused(socket.session(), &RefusedEvent { retry_after_ms, ..refused });
    }

    /// Refuses a frame that cannot be decoded.
    pub(crate) fn bad_frame(&self, socket: &Socket, error: &str) {
        socket.node().notify_refused(socket.session(), &RefusedEvent::bad_frame(error.to_owned()));
        self.notify_error_hooks(socket, "", RefusedEvent::BAD_FRAME, error);
    }

    /// Calls the `@error` hooks.
    pub(crate) fn notify_error_hooks(&self, socket: &Socket, event: &str, code: &str, error: &str) {
        self.notify(SystemEvent::Error, socket, || json!({ "event": event, "code": code, "error": error }));
    }

    pub(crate) fn notify_connected(&self, socket: &Socket) {
        self.notify(SystemEvent::Connection, socket, || json!({}));
    }

    /// Asks the `@resume` hooks, one after another. Returns false if one fails: the session is not resumed.
    pub(crate) async fn allows_resume(&self, socket: &Socket) -> bool {
        hooks::ask(
            self.hooks_of(socket.session().protocol).of(SystemEvent::Resume),
            SystemEvent::Resume,
            socket,
        )
        .await
    }

    pub(crate) fn notify_pinged(&self, session: &Arc<Session>) {
        if !self.hooks_of(session.protocol).of(SystemEvent::Ping).is_empty() {
            self.notify(SystemEvent::Ping, &Socket::new(&self.app, session.clone()), || json!({}));
        }
    }

    /// Calls the hooks of a socket's protocol, if any.
    fn notify(&self, event: SystemEvent, socket: &Socket, data: impl FnOnce() -> Value) {
        let hooks = self.hooks_of(socket.session().protocol).of(event);
        if !hooks.is_empty() {
            let data = Payload::of(&data()).expect("strings and numbers are valid JSON");
            hooks::call(&self.app.node().tasks, hooks, event, socket, data);
        }
    }

    fn hooks_of(&self, protocol: Protocol) -> &Hooks {
        &self.routes[protocol.index()].hooks
    }

    pub(crate) fn has_hooks(&self, event: SystemEvent) -> bool {
        Protocol::ALL.iter().any(|protocol| !self.hooks_of(*protocol).of(event).is_empty())
    }
}

impl HookSink for Server {
    fn notify_client_event(&self, event: SystemEvent, session: &Arc<Session>, data: Payload) {
        let socket = Socket::new(&self.app, session.clone());
        let hooks = self.hooks_of(session.protocol).of(event);
        hooks::call(&self.app.node().tasks, hooks, event, &socket, data);
    }

    fn notify_session(&self, event: SystemEvent, session: &Arc<Session>, data: &dyn Fn() -> Value) {
        if !self.hooks_of(session.protocol).of(event).is_empty() {
            self.notify(event, &Socket::new(&self.app, session.clone()), data);
        }
    }

    fn notify_project_event(&self, event: SystemEvent, project: &ProjectId, data: Payload) {
        // Hooks take a socket, but no client caused this event: they receive one without a connection.
        let state = ConnectionState::new(ConnectionInfo::empty(), Box::new(()));
        let session = self.app.hub().placeholder_session(project, Protocol::ALL[0], Box::new(state));
        let placeholder = Socket::new(&self.app, session);
        for protocol in Protocol::ALL {
            let hooks = self.hooks_of(protocol).of(event);
            hooks::call(&self.app.node().tasks, hooks, event, &placeholder, data.clone());
        }
    }
}
