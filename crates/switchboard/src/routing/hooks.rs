//! Hooks: handlers of system events.

use switchboard_event::{Name, Payload};
use switchboard_log::{limited, printable};

use crate::api::setup::Setup;
use crate::api::socket::Socket;
use crate::node::system_events::{IN_SEND_HOOK, SystemEvent, system_event_names};
use crate::node::tasks::{Panic, Tasks, panic_message};
use crate::routing::handler::{AnyHandler, ResponseFuture, catch_panic, poll_once, run_to_end};
use crate::routing::reply::Response;
use crate::routing::request::Request;

/// Requests of clients that the server itself answers, so that no handler can be added for them.
const ANSWERED_BY_SERVER: [&str; 2] = ["@history", "@identify"];

/// The handlers of system events: any number per event, called in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Hooks([Vec<AnyHandler>; SystemEvent::COUNT]);

impl Hooks {
    /// # Panics
    /// If no system event has that name.
    #[track_caller]
    pub(crate) fn add(&mut self, name: &str, hook: AnyHandler) {
        match SystemEvent::ALL.iter().find(|event| event.name() == name) {
            Some(event) => self.0[*event as usize].push(hook),
            None if ANSWERED_BY_SERVER.contains(&name) => {
                panic!("the server itself answers the event `{name}`, so it can have no handler")
            }
            None => panic!("`{name}` is not a system event; the system events are {}", system_event_names!()),
        }
    }

    pub(crate) fn of(&self, event: SystemEvent) -> &[AnyHandler] {
        &self.0[event as usize]
    }

    /// Adds the hooks of another router after the existing ones.
    pub(crate) fn extend(&mut self, other: Hooks) {
        for (hooks, more) in self.0.iter_mut().zip(other.0) {
            hooks.extend(more);
        }
    }

    pub(crate) fn check(&self, setup: &Setup) -> Result<(), String> {
        for event in SystemEvent::ALL {
            for hook in self.of(*event) {
                hook.check(setup).map_err(|error| format!("a hook of `{}` {error}", event.name()))?;
            }
        }
        Ok(())
    }
}

/// Starts hooks in their order. An error of a hook is only logged: passing it to the `@error` hooks could
/// call the same hook again.
pub(crate) fn call(tasks: &Tasks, hooks: &[AnyHandler], event: SystemEvent, socket: &Socket, data: Payload) {
    if hooks.is_empty() {
        return;
    }
    let name = Name::new(event.name()).expect("names of system events are valid");
    let request = Request::new(socket.clone(), name, data, None);
    for hook in hooks {
        let mut future = match catch_panic(|| start(hook, event, request.clone())) {
            Ok(future) => future,
            Err(panic) => {
                log_outcome(event, Err(panic));
                continue;
            }
        };
        match poll_once(&mut future) {
            Some(outcome) => log_outcome(event, outcome),
            None => tasks.spawn(async move { log_outcome(event, run_to_end(future).await) }),
        }
    }
}

/// Runs hooks one after another until one fails. Returns false if one did.
pub(crate) async fn ask(hooks: &[AnyHandler], event: SystemEvent, socket: &Socket) -> bool {
    let name = Name::new(event.name()).expect("names of system events are valid");
    let request = Request::new(socket.clone(), name, Payload::EMPTY, None);
    for hook in hooks {
        let outcome = match catch_panic(|| start(hook, event, request.clone())) {
            Ok(future) => run_to_end(future).await,
            Err(panic) => Err(panic),
        };
        match outcome {
            Ok(Response { error: None, .. }) => {}
            Ok(Response { error: Some(error), .. }) => {
                limited!(DEBUG, event = event.name(), socket = %socket.id(), error = printable(&error), "hook refused");
                return false;
            }
            failed => {
                log_outcome(event, failed);
                return false;
            }
        }
    }
    true
}

fn start(hook: &AnyHandler, event: SystemEvent, request: Request) -> ResponseFuture {
    if !event.is_send_event() {
        return hook.call(request);
    }
    let future = IN_SEND_HOOK.sync_scope((), || hook.call(request));
    Box::pin(IN_SEND_HOOK.scope((), future))
}

fn log_outcome(event: SystemEvent, outcome: Result<Response, Panic>) {
    match outcome {
        Ok(Response { error: Some(error), .. }) => {
            limited!(ERROR, event = event.name(), error = printable(&error), "hook failed")
        }
        Ok(_) => {}
        Err(panic) => {
            limited!(ERROR, event = event.name(), panic = printable(panic_message(&*panic)), "hook panicked")
        }
    }
}
