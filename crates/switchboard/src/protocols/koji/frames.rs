//! What a client's frames do.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use switchboard_event::{Audience, Name, Payload, Protocol, Target};
use switchboard_wire::DecodeError;
use switchboard_wire::koji::{self, Incoming};

use super::Client;
use crate::api::socket::Socket;
use crate::protocols::koji::relay::Relay;
use crate::routing::request::Request;
use crate::routing::server::Served;

/// Tokens of one socket that wait while another is looked at; the oldest is dropped.
const TOKENS_WAITING_MAX: usize = 8;

/// Does what a frame asks for, or returns the event for handlers to do it.
pub(crate) fn receive(
    served: &Arc<Served>,
    socket: &Socket,
    frame: &Bytes,
) -> Result<Option<Request>, DecodeError> {
    let client = socket.peer().koji().expect("every socket of this door has a client");
    match koji::decode(frame, client.rules.message_units_max)? {
        Incoming::Event { name, payload, recipients } => {
            return Ok(event(served, socket, client, name, payload, recipients));
        }
        Incoming::SetUserInfo(info) if info.as_bytes().len() > client.rules.user_info_bytes_max => {
            served.app.meters().refused_event("info_too_long");
        }
        Incoming::SetUserInfo(info) => client.set_info(socket, info),
        Incoming::GetClients => socket.app().core().rosters.tell_all(socket.app(), socket.session()),
        Incoming::Identify(token) => identify(socket, token),
    }
    Ok(None)
}

fn event(
    served: &Arc<Served>,
    socket: &Socket,
    client: &Client,
    name: Name,
    payload: Payload,
    recipients: Option<Vec<Name>>,
) -> Option<Request> {
    if !client.rules.allows(&name) {
        served.app.meters().refused_event("not_allowed");
        return None;
    }
    if client.rules.emit_needs_identity && socket.user().is_none() {
        served.app.meters().refused_event("no_identity");
        return None;
    }
    let audience = match recipients {
        None => Target::shard(&client.shard).into(),
        Some(ids) => audience_of(&ids),
    };
    let relay = Relay::new(socket.clone(), name, payload, audience);
    if !served.handles(Protocol::Koji) {
        // A full bus is counted by the hub; who is on this node has it.
        relay.send();
        return None;
    }
    Some(Request::to_relay(relay))
}

/// An id is a client's or a user's; what looks like a client's may still be a user's.
fn audience_of(ids: &[Name]) -> Audience {
    let targets = ids.iter().flat_map(|id| {
        let socket = id.parse().ok().map(Target::Socket);
        socket.into_iter().chain([Target::User(id.clone())])
    });
    Audience { to: targets.collect(), except: Vec::new() }
}

/// Tokens of a socket that are to be looked at, one after the other.
#[derive(Default)]
pub(crate) struct Tokens {
    waiting: VecDeque<String>,
    busy: bool,
}

/// Looks at a token; at once, if the verifier needs not wait.
pub(crate) fn identify(socket: &Socket, token: String) {
    let client = socket.peer().koji().expect("every socket of this door has a client");
    {
        let mut tokens = client.tokens();
        if tokens.waiting.len() >= TOKENS_WAITING_MAX {
            tokens.waiting.pop_front();
        }
        tokens.waiting.push_back(token);
        if std::mem::replace(&mut tokens.busy, true) {
            return;
        }
    }
    let mut work = Box::pin(look_at_tokens(socket.clone()));
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.app().core().tasks.spawn(work);
    }
}

async fn look_at_tokens(socket: Socket) {
    let client = socket.peer().koji().expect("every socket of this door has a client");
    loop {
        let token = {
            let mut tokens = client.tokens();
            let Some(token) = tokens.waiting.pop_front() else {
                tokens.busy = false;
                return;
            };
            token
        };
        if let Err(error) = socket.identify(&token).await {
            tracing::debug!(socket = %socket.id(), error = &error as &dyn std::error::Error, "a token binds nobody");
        }
    }
}
