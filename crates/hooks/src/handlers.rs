//! Handlers over HTTP: a backend that answers events of clients, and decides which may connect.
//!
//! A backend receives a signed `POST` for each event that it handles, and answers with a reply and with calls that are
//! executed first. The events of one client are sent one after another, in their order.

pub(crate) mod answer;
mod backend;
mod call;
pub(crate) mod options;
mod question;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use switchboard::access::{Admitted, ConnectFuture, ConnectGate, ConnectRefusal, ConnectingClient};
use switchboard::{App, IntoResponse, Middleware, Next, NoReply, Payload, Request, Response};
use tokio::sync::{Mutex, MutexGuard};

use crate::handlers::answer::{Answer, AnswerError};
use crate::handlers::backend::Backend;
use crate::handlers::options::{HandlerError, HandlerOptions};
use crate::handlers::question::Question;

/// The key under which a socket stores the turn of its events.
const TURN: &str = "@http-handlers";

/// The events of one client wait for their turn here, in the order in which they began to wait.
type Turn = Arc<Mutex<()>>;

/// Adds backends to an app: for the events that they name, and for connections.
///
/// A client event goes to the first backend that handles its name. It passes the other middleware of the app as if the
/// backend were a handler.
pub fn install_handlers(app: App, options: &[HandlerOptions]) -> Result<App, HandlerError> {
    let backends = options.iter().map(Backend::new).collect::<Result<Vec<_>, _>>()?;
    let backends: Vec<Arc<Backend>> = backends.into_iter().map(Arc::new).collect();
    let with = |is_included: fn(&Backend) -> bool| -> Vec<Arc<Backend>> {
        backends.iter().filter(|backend| is_included(backend)).cloned().collect()
    };
    let (of_events, of_connects) =
        (with(|backend| backend.takes_events()), with(|backend| backend.takes_connects()));
    let app = if of_events.is_empty() { app } else { app.middleware(EventHandlers(of_events)) };
    Ok(if of_connects.is_empty() { app } else { app.with_connect_gate(Arc::new(Connects(of_connects))) })
}

/// Sends the events of clients to backends.
struct EventHandlers(Vec<Arc<Backend>>);

impl Middleware for EventHandlers {
    fn handle(&self, request: Request, next: Next) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        let project = request.app().project_id();
        match self.0.iter().find(|backend| backend.takes(project, request.event())) {
            Some(backend) => Box::pin(handle(backend.clone(), request, next)),
            None => next.run(request),
        }
    }
}

async fn handle(backend: Arc<Backend>, request: Request, next: Next) -> Response {
    // The first poll puts the event into the line of its client; it happens in the order of the frames.
    let turn = turn_of(&request);
    let turn = turn.lock().await;
    let question = Question::of_event(backend.headers(), &request);
    let answer = match backend.ask(&question).await {
        Ok(answer) => answer,
        Err(_) if backend.allows_on_failure() => return continue_with(next, request, turn).await,
        Err(error) => return error.reply().into_response(),
    };
    let Answer { reply, error, calls, passes_on, .. } = answer;
    let disconnect = match call::execute(request.socket(), calls) {
        Ok(disconnect) => disconnect,
        Err(error) => return backend.invalid_call(&error).into_response(),
    };
    if let Some(disconnect) = disconnect {
        // Nothing can be sent behind the close frame. The client may be gone already.
        let reply = error.map(AnswerError::into_reply).or(reply).unwrap_or(Payload::NULL);
        let _ = request.reply(&reply);
        disconnect.execute(request.socket());
        return NoReply.into_response();
    }
    match (error, reply) {
        (Some(error), _) => error.into_error().into_response(),
        (None, _) if passes_on => continue_with(next, request, turn).await,
        (None, Some(reply)) => reply.into_response(),
        (None, None) => ().into_response(),
    }
}

/// Runs the server's own handler. It starts before the client's next event goes to a backend.
async fn continue_with(next: Next, request: Request, turn: MutexGuard<'_, ()>) -> Response {
    let mut response = next.run(request);
    let first = poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await;
    drop(turn);
    match first {
        Poll::Ready(response) => response,
        Poll::Pending => response.await,
    }
}

fn turn_of(request: &Request) -> Turn {
    request.get(TURN).unwrap_or_else(|| {
        let turn = Turn::default();
        request.set(TURN, turn.clone());
        turn
    })
}

/// Asks backends whether a client may connect.
struct Connects(Vec<Arc<Backend>>);

impl ConnectGate for Connects {
    fn admit<'a>(&'a self, client: ConnectingClient<'a>) -> ConnectFuture<'a> {
        Box::pin(async move {
            let Some(backend) = self.0.iter().find(|backend| backend.takes_project(client.project)) else {
                return Ok(Admitted::default());
            };
            match backend.ask(&Question::of_connect(backend.headers(), &client)).await {
                Ok(answer) => answer.into_admitted(),
                Err(_) if backend.allows_on_failure() => Ok(Admitted::default()),
                Err(_) => Err(ConnectRefusal::unavailable()),
            }
        })
    }
}
