//! An app as it is served: its routes frozen, its handlers started and their outcomes settled.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::json;
use switchboard_event::{Payload, Protocol};
use switchboard_hub::Session;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::net::heartbeat::{Ask, KeepAlive};
use crate::node::clock::now;
use crate::node::identity::Identities;
use crate::node::reports;
use crate::protocols::koji;
use crate::protocols::koji::relay::Relay;
use crate::protocols::mesa::MesaSettings;
use crate::routing::handler::{AnyHandler, ResponseFuture};
use crate::routing::hooks::{Hooked, Hooks, SystemEvent};
use crate::routing::reply::Response;
use crate::routing::request::Request;
use crate::routing::router::Routes;

/// An app and its frozen routes.
pub(crate) struct Served {
    pub(crate) app: App,
    /// By protocol: each door has its own handlers.
    routes: [Routes; Protocol::COUNT],
}

/// What a handler that panicked left behind.
pub(crate) type Panic = Box<dyn Any + Send>;

impl Served {
    /// Freezes the routes of an app and starts what every app needs.
    ///
    /// # Panics
    /// With what is wrong with the routes: a handler too many, a state that is missing.
    pub(crate) fn start(app: &App) -> Arc<Self> {
        let setup = app.setup();
        let router = |protocol| match protocol {
            Protocol::Emit => setup.router.freeze(setup, AnyHandler::new(reports::hand_over)),
            Protocol::Koji => {
                let router = setup.koji.as_ref().map(|koji| koji.router.clone()).unwrap_or_default();
                router.freeze(setup, AnyHandler::new(pass_on))
            }
            Protocol::Mesa => {
                let router = setup.mesa.as_ref().map(|mesa| mesa.router.clone()).unwrap_or_default();
                router.freeze(setup, AnyHandler::new(reports::pass_out))
            }
        };
        let routes = Protocol::ALL.map(|protocol| {
            router(protocol).unwrap_or_else(|wrong| panic!("the app cannot be served: {wrong}"))
        });
        let served = Arc::new(Served { app: app.clone(), routes });
        let core = app.core();
        if core.flushers.start(&core.tasks, app.meters().bytes_out.clone()) {
            // Of several that serve an app it is this one that lasts.
            let _ = core.hooked.set(Hooked::new(&served));
            for protocol in Protocol::ALL {
                let heartbeat = core.heartbeats[protocol.index()].clone();
                core.tasks.spawn_service(heartbeat.run(served.clone(), served.keep_alive(protocol)));
            }
            core.tasks.spawn_service(Identities::run(app.clone()));
            served.start_portal();
        }
        served
    }

    fn keep_alive(&self, protocol: Protocol) -> KeepAlive {
        let setup = self.app.setup();
        let ping = |interval, misses_max| KeepAlive { interval, ask: Ask::Ping { misses_max } };
        let of_limits = ping(self.app.limits().heartbeat_interval, 1);
        match protocol {
            Protocol::Emit => of_limits,
            Protocol::Koji => {
                let interval = setup.koji.as_ref().map_or(Duration::ZERO, |koji| koji.ping_interval);
                ping(interval, koji::MISSES_MAX)
            }
            Protocol::Mesa => match setup.mesa.as_ref().map(|mesa| &mesa.settings) {
                Some(MesaSettings { heartbeat_interval: Some(interval), heartbeat_attempts_max, .. }) => {
                    let attempts_max = *heartbeat_attempts_max;
                    KeepAlive { interval: *interval, ask: Ask::Mesa { attempts_max } }
                }
                _ => of_limits,
            },
        }
    }

    fn routes(&self, socket: &Socket) -> &Routes {
        &self.routes[socket.session().protocol.index()]
    }

    /// Whether there is a handler or middleware for the clients of a protocol.
    pub(crate) fn handles(&self, protocol: Protocol) -> bool {
        !self.routes[protocol.index()].is_empty()
    }

    /// Starts what handles an event. If it does not wait it has finished when this returns.
    pub(crate) fn handle(self: &Arc<Self>, request: Request, started: Instant) {
        let start = catch_unwind(AssertUnwindSafe(|| self.routes(request.socket()).call(request.clone())));
        let mut future = match start {
            Ok(future) => future,
            Err(panic) => return self.settle(&request, Err(panic), started),
        };
        match poll_once(&mut future) {
            Some(outcome) => self.settle(&request, outcome, started),
            None => self.wait_for(request, future, started),
        }
    }

    /// Lets a handler go on beside the connection, which counts it.
    fn wait_for(self: &Arc<Self>, request: Request, future: ResponseFuture, started: Instant) {
        let served = self.clone();
        let peer = request.socket().peer();
        peer.waiting.fetch_add(1, Ordering::Relaxed);
        self.app.core().tasks.spawn(async move {
            let outcome = AssertUnwindSafe(future).catch_unwind().await;
            served.settle(&request, outcome, started);
            let waiting = request.socket().peer().waiting.fetch_sub(1, Ordering::Relaxed);
            if waiting as usize >= served.app.limits().handlers_waiting_max {
                request.socket().session().outbox.wake_owner();
            }
        });
    }

    /// Sends the reply, counts, and tells the `@error` hooks what went wrong.
    fn settle(self: &Arc<Self>, request: &Request, outcome: Result<Response, Panic>, started: Instant) {
        self.app.meters().handled(now().saturating_duration_since(started));
        let response = outcome.unwrap_or_else(|panic| {
            self.app.meters().panics.increment(1);
            let message = panic_message(&*panic);
            tracing::error!(event = request.event(), socket = %request.id(), message, "a handler panicked");
            self.report(request.socket(), request.event(), "panic", &message);
            Response::none()
        });
        if let Some(payload) = &response.reply {
            request.reply_payload(payload);
        }
        if let Some(error) = response.error {
            match error.cause() {
                Some(cause) => {
                    tracing::error!(event = request.event(), socket = %request.id(), %cause, "a handler failed");
                }
                None => tracing::debug!(event = request.event(), socket = %request.id(), %error, "refused"),
            }
            self.report(request.socket(), request.event(), error.code(), &error.to_string());
        }
    }

    /// Answers a request for something that cannot be an event's name.
    pub(crate) fn unroutable(&self, socket: &Socket, shown: &str, ack: Option<&Payload>) {
        self.app.meters().unknown_events.increment(1);
        if let (Some(ack), Some(reply)) = (ack, &Response::unknown_event(shown).reply) {
            socket.send_reply(ack, reply);
        }
    }

    /// Calls the `@error` hooks.
    pub(crate) fn report(&self, socket: &Socket, event: &str, code: &str, error: &str) {
        let data = json!({ "event": event, "code": code, "error": error });
        self.call_hooks(SystemEvent::Error, socket, &data);
    }

    pub(crate) fn connected(&self, socket: &Socket) {
        self.call_hooks(SystemEvent::Connection, socket, &json!({}));
    }

    pub(crate) fn disconnected(&self, socket: &Socket, code: u16, reason: &str) {
        self.call_hooks(SystemEvent::Disconnect, socket, &json!({ "code": code, "reason": reason }));
    }

    pub(crate) fn ping_sent(&self, session: &Arc<Session>) {
        if !self.hooks_of(session.protocol).of(SystemEvent::Ping).is_empty() {
            let socket = Socket::new(&self.app, session.clone());
            self.call_hooks(SystemEvent::Ping, &socket, &json!({}));
        }
    }

    pub(crate) fn hooks_of(&self, protocol: Protocol) -> &Hooks {
        &self.routes[protocol.index()].hooks
    }
}

/// What becomes of an event of a Koji client that no handler wants.
async fn pass_on(relay: Relay) {
    relay.send();
}

/// Polls a future that need not be woken: whoever polls it next registers their own waker.
pub(crate) fn poll_once(future: &mut ResponseFuture) -> Option<Result<Response, Panic>> {
    let polled =
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    match polled {
        Ok(Poll::Ready(response)) => Some(Ok(response)),
        Ok(Poll::Pending) => None,
        Err(panic) => Some(Err(panic)),
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
