//! Showing who the user is. While a token is looked at, nothing else of its client is; it is read on as
//! soon as the answer is queued, and told what it has missed beside that.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use bytes::Bytes;
use switchboard_event::Payload;
use switchboard_wire::mesa::write_authenticated;
use switchboard_ws::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use super::MesaSettings;
use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::identity::Identity;
use crate::node::inbox::{self, Redelivery};

/// Looks at a token; at once, if the verifier needs not wait.
pub(super) fn log_in(socket: &Socket, token: Option<String>, should_sync: bool) {
    let client = socket.peer().mesa().expect("every socket of this door has a client");
    client.logging_in.store(true, Ordering::Relaxed);
    let mut work = Box::pin(look_at(socket.clone(), token, should_sync));
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.app().core().tasks.spawn(work);
    }
}

async fn look_at(socket: Socket, token: Option<String>, should_sync: bool) {
    let verdict = socket.identify_whole(token.as_deref()).await;
    let client = socket.peer().mesa().expect("every socket of this door has a client");
    match verdict {
        Ok((identity, redelivery)) => {
            client.known.store(true, Ordering::Relaxed);
            welcome(&socket, identity, redelivery, should_sync).await;
        }
        Err(error) => {
            tracing::debug!(socket = %socket.id(), error = &error as &dyn std::error::Error, "a token binds nobody");
            if settings(socket.app()).closes_on_refusal {
                socket.close_with(CloseCode::POLICY, "the token was refused");
            }
        }
    }
    client.logging_in.store(false, Ordering::Relaxed);
    socket.session().outbox.wake_owner();
}

/// Shows the user, and has told what the user has missed. Who has seen the answer is heard by all nodes.
async fn welcome(socket: &Socket, identity: Identity, mut redelivery: Option<Redelivery>, should_sync: bool) {
    inbox::settled(socket.app()).await;
    match &mut redelivery {
        Some(redelivery) if should_sync => redelivery.look().await,
        Some(redelivery) => redelivery.forget().await,
        None => {}
    }
    let frame = user_frame(&identity, settings(socket.app()).sends_user_object);
    socket.app().hub().deliver_ahead(socket.session(), &frame);
    socket.tell_authenticated(&identity.user);
    if let Some(redelivery) = redelivery.filter(|_| should_sync) {
        redelivery.go_on();
    }
}

fn user_frame(identity: &Identity, sends_user_object: bool) -> Bytes {
    let user = match (&identity.profile, sends_user_object) {
        (Some(profile), true) => profile.clone(),
        (None, true) => Payload::of(&serde_json::json!({ "id": identity.user })).expect("a text is JSON"),
        (_, false) => Payload::EMPTY,
    };
    encode_with(OpCode::Text, 32 + user.as_bytes().len(), |out| write_authenticated(out, &user))
}

/// Closes a socket that has shown no good token in time, if it must.
pub(crate) fn expect_login(socket: &Socket) {
    let MesaSettings { authentication_required, authentication_timeout, .. } = *settings(socket.app());
    if !authentication_required {
        return;
    }
    let (app, id) = (socket.app().clone(), socket.id());
    socket.app().core().tasks.spawn_service(async move {
        tokio::time::sleep(authentication_timeout).await;
        if let Some(socket) = app.socket(id)
            && socket.peer().mesa().is_some_and(|client| !client.known.load(Ordering::Relaxed))
        {
            socket.close_with(CloseCode::POLICY, "no token was shown in time");
        }
    });
}

pub(super) fn settings(app: &App) -> &MesaSettings {
    &app.setup().mesa.as_ref().expect("this door is open").settings
}
