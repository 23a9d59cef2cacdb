//! Logs clients in. While a token is verified, no frames of its client are decoded. Decoding continues
//! once the answer is queued, in parallel with the redelivery of stored messages.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use bytes::Bytes;
use switchboard_event::{Payload, Protocol};
use switchboard_hub::Session;
use switchboard_wire::mesa::write_authenticated;
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::identity::{self, LoggedIn};
use crate::node::verifier::Identity;
use crate::protocols::mesa::client_state::{ClientState, client_of};

/// Starts to verify a token. A verifier that never waits has finished when this returns.
pub(crate) fn log_in(socket: &Socket, token: Option<String>, should_sync: bool) {
    socket.connection_state().is_decoding_paused.store(true, Ordering::Relaxed);
    let mut future = Box::pin(verify(socket.clone(), token, should_sync));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(future);
    }
}

async fn verify(socket: Socket, token: Option<String>, should_sync: bool) {
    let (node, session) = (socket.node(), socket.session());
    let client = client_of(session).expect("every socket of this protocol has this state");
    match identity::identify(node, session, socket.verifier(), token.as_deref()).await {
        Ok(logged_in) => {
            client.was_authenticated.store(true, Ordering::Relaxed);
            complete_login(node, session, client, logged_in, should_sync).await;
        }
        Err(_) if client.settings.closes_on_refusal => {
            node.close(session, CloseCode::POLICY, "the token was refused");
        }
        Err(_) => {}
    }
    socket.connection_state().is_decoding_paused.store(false, Ordering::Relaxed);
    session.outbox.wake_owner();
}

/// Sends the answer with the user and starts the redelivery. Before that, waits until this node receives
/// the user's messages from all nodes, so that the client misses none after the answer.
async fn complete_login(
    node: &Arc<Node>,
    session: &Arc<Session>,
    client: &ClientState,
    (identity, mut backlog): LoggedIn,
    should_sync: bool,
) {
    node.settled().await;
    match &mut backlog {
        Some(backlog) if should_sync => backlog.peek().await,
        Some(backlog) => backlog.discard().await,
        None => {}
    }
    let frame = user_frame(&identity, client.settings.sends_user_object);
    node.hub().deliver_ahead(session, &frame);
    identity::notify_authenticated(node, session, &identity.user);
    if let Some(backlog) = backlog.filter(|_| should_sync) {
        backlog.start();
    }
}

fn user_frame(identity: &Identity, sends_user_object: bool) -> Bytes {
    let user = match (&identity.profile, sends_user_object) {
        (Some(profile), true) => profile.clone(),
        (None, true) => {
            Payload::of(&serde_json::json!({ "id": identity.user })).expect("a string is valid JSON")
        }
        (_, false) => Payload::EMPTY,
    };
    encode_with(OpCode::Text, 32 + user.as_bytes().len(), |out| write_authenticated(out, &user))
}

/// Closes the socket after the authentication time-out if the settings require a login and no token was
/// accepted by then. Dropping the result ends the wait.
pub(crate) fn start_login_timeout(node: &Arc<Node>, session: &Arc<Session>) -> Option<DropGuard> {
    let settings = &client_of(session).expect("every socket of this protocol has this state").settings;
    if !settings.authentication_required {
        return None;
    }
    let (tasks, id, timeout) = (node.tasks.clone(), session.id, settings.authentication_timeout);
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let node = node.clone();
    let close = async move {
        tokio::time::sleep(timeout).await;
        if let Some(session) = node.hub().index().session(id)
            && client_of(&session).is_some_and(|client| !client.was_authenticated.load(Ordering::Relaxed))
        {
            node.meters().of(Protocol::Mesa).count_refused_token("no_token_in_time");
            node.close(&session, CloseCode::POLICY, "no token was shown in time");
        }
    };
    tasks.spawn_service(async move {
        ended.run_until_cancelled(close).await;
    });
    Some(guard)
}
