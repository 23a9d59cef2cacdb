//! Relays a client's events to its shard or to the recipients that the client named.

use switchboard_event::{Audience, Event, Name, OverflowPolicy, Parcel, Payload};
use switchboard_hub::Scope;

use crate::api::setup::Setup;
use crate::api::socket::Socket;
use crate::node::clock::now_ms;
use crate::node::trace::points::refused;
use crate::protocols::koji::options::Koji;
use crate::protocols::koji::rights::{check_relay, notify_forbidden};
use crate::routing::extract::FromRequest;
use crate::routing::reply::ReplyError;
use crate::routing::request::Request;

/// An extractor of a Koji client's event, for handlers that relay it to other clients.
///
/// Events without a handler are relayed unchanged. A handler can relay an event, change its data, or drop
/// it. On other protocols the reply is an error with the code `bad_data`.
///
/// ```
/// use switchboard::{App, Data, Koji, Relay};
///
/// async fn chat_message(relay: Relay, Data(line): Data<serde_json::Value>) {
///     if line["body"].as_str().is_some_and(|body| body.len() <= 200) {
///         relay.send();
///     }
/// }
/// let app = App::new().with_koji(Koji::new().on("chat_message_sent", chat_message));
/// ```
#[derive(Debug, Clone)]
pub struct Relay {
    socket: Socket,
    name: Name,
    payload: Payload,
    audience: Audience,
}

impl Relay {
    /// The recipients that the client named, or else the shard.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Sends the event unchanged. Returns the number of sockets of this node that it was queued for: none if the client
    /// may not send to the audience.
    pub fn send(self) -> usize {
        relay(&self.socket, self.name, self.payload, &self.audience)
    }

    /// Sends the event with other data. Returns the same as [`send`](Self::send).
    pub fn send_payload(self, payload: Payload) -> usize {
        relay(&self.socket, self.name, payload, &self.audience)
    }
}

/// Sends a client's event to an audience. If the bus is full, the hub counts the loss and the event still
/// reaches the sockets of this node.
///
/// The client needs the right to send to the audience; otherwise nothing is sent.
pub(crate) fn relay(socket: &Socket, name: Name, data: Payload, audience: &Audience) -> usize {
    let audience = match check_relay(socket.node(), socket.session(), audience) {
        Ok(audience) => audience,
        Err(forbidden) => {
            let sender = Some(socket.id());
            let event = Event { name: name.clone(), data, sender, time_ms: now_ms(), trace: None };
            refused(socket.node(), &socket.session().project.id, &event, audience, &forbidden);
            notify_forbidden(socket.node(), socket.session(), &name, &forbidden);
            return 0;
        }
    };
    let event = Event { name, data, sender: Some(socket.id()), time_ms: now_ms(), trace: None };
    let parcel = Parcel::new(event, OverflowPolicy::Live);
    socket.node().hub().send(&socket.session().project.id, &audience, &parcel, Scope::AllNodes).queued
}

/// The fallback for events without a handler.
pub(crate) async fn relay_unhandled(relay: Relay) {
    relay.send();
}

impl FromRequest for Relay {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        let audience = request
            .audience()
            .ok_or_else(|| ReplyError::bad_data("events of this protocol cannot be relayed"))?;
        Ok(Relay {
            socket: request.socket().clone(),
            name: request.name().clone(),
            payload: request.payload().clone(),
            audience: audience.clone(),
        })
    }

    fn check(setup: &Setup) -> Result<(), String> {
        match setup.extension::<Koji>() {
            Some(_) => Ok(()),
            None => Err("takes Relay, but the app has no Koji endpoint".into()),
        }
    }
}
