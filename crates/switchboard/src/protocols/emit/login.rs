//! Logs clients in by a token of the handshake, or of `@identify`. While a token is verified, no frames of its client
//! are decoded: what the client sends after a token needs the rights of that token.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use serde_json::json;
use switchboard_event::{Payload, UserId};

use crate::api::socket::Socket;
use crate::node::identity::{self, LoggedIn};
use crate::node::verifier::{IdentifyError, Identity};
use crate::protocols::emit::encode;
use crate::protocols::emit::notices::notify;

/// Starts to verify a token. A verifier that never waits has finished when this returns. `ack` is the id of the
/// request to answer, if the client has sent one.
pub(super) fn log_in(socket: &Socket, token: Option<String>, ack: Option<Payload>) {
    socket.connection_state().is_decoding_paused.store(true, Ordering::Relaxed);
    let mut future = Box::pin(verify(socket.clone(), token, ack));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(future);
    }
}

/// Logs a client in with a token that was verified before it connected.
pub(super) fn accept(socket: &Socket, identity: Identity) {
    let (node, session) = (socket.node().clone(), socket.session().clone());
    let socket = socket.clone();
    let outcome = identity::accept(&node, &session, Ok(identity));
    node.tasks.clone().spawn(async move { finish(&socket, outcome, None).await });
}

async fn verify(socket: Socket, token: Option<String>, ack: Option<Payload>) {
    let (node, session) = (socket.node(), socket.session());
    let outcome = identity::identify(node, session, socket.verifier(), token.as_deref()).await;
    finish(&socket, outcome, ack).await;
    socket.connection_state().is_decoding_paused.store(false, Ordering::Relaxed);
    session.outbox.wake_owner();
}

/// Answers a login, and starts the redelivery of the user's inbox.
async fn finish(socket: &Socket, outcome: Result<LoggedIn, IdentifyError>, ack: Option<Payload>) {
    let (node, session) = (socket.node(), socket.session());
    match outcome {
        Ok((identity, backlog)) => {
            // After the answer the client misses no message for its user.
            node.settled().await;
            identity::notify_authenticated(node, session, &identity.user);
            answer(socket, Ok(&identity.user), ack);
            if let Some(backlog) = backlog {
                backlog.start();
            }
        }
        Err(error) => answer(socket, Err(&error), ack),
    }
}

/// Sends the outcome: as the reply to a request, or else as a notice. It is sent ahead of the messages that are held back during the
/// login.
fn answer(socket: &Socket, outcome: Result<&UserId, &IdentifyError>, ack: Option<Payload>) {
    let (node, session) = (socket.node(), socket.session());
    let mut data = match outcome {
        Ok(user) => json!({ "user": user }),
        Err(error) => json!({ "error": error.to_string(), "code": error.reason() }),
    };
    if let Err(IdentifyError::RateLimited(limited)) = outcome {
        data["retry_after_ms"] = limited.retry_after_ms().into();
    }
    let payload = Payload::of(&data).expect("texts are JSON");
    match ack {
        Some(ack) => {
            node.hub().deliver_ahead(session, &encode::reply(&ack, &payload));
        }
        None => notify(node, session, "@identified", &payload),
    }
}
