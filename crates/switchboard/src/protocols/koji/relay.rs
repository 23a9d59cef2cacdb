//! Relaying a client's events to its shard, or to the recipients that it named.

use switchboard_event::{Audience, DeliveryClass, Event, Name, Parcel, Payload};
use switchboard_hub::Scope;

use crate::api::setup::Setup;
use crate::api::socket::Socket;
use crate::node::clock::now_ms;
use crate::protocols::koji::options::Koji;
use crate::routing::extract::FromRequest;
use crate::routing::reply::ReplyError;
use crate::routing::request::Request;

/// An event that its client means for others: its shard, or the recipients it named.
///
/// An event without a handler is relayed; one with a handler is the handler's to relay, or not, or
/// in other words.
///
/// ```
/// use switchboard::{App, Data, Koji, Relay};
///
/// async fn say(relay: Relay, Data(line): Data<serde_json::Value>) {
///     if line["body"].as_str().is_some_and(|body| body.len() <= 200) {
///         relay.send();
///     }
/// }
/// let app = App::new().with_koji(Koji::new().on("chat_message_sent", say));
/// ```
#[derive(Debug, Clone)]
pub struct Relay {
    socket: Socket,
    name: Name,
    payload: Payload,
    audience: Audience,
}

impl Relay {
    /// The recipients that the client named.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Sends the event unchanged. Returns the number of sockets of this node that have it queued.
    pub fn send(self) -> usize {
        relay(&self.socket, self.name, self.payload, &self.audience)
    }

    /// Sends the event with other data.
    pub fn send_payload(self, payload: Payload) -> usize {
        relay(&self.socket, self.name, payload, &self.audience)
    }
}

/// Sends an event of a client to others. If the bus is full, the hub counts it and sockets of this node
/// still get the event.
pub(crate) fn relay(socket: &Socket, name: Name, data: Payload, audience: &Audience) -> usize {
    let event = Event { name, data, sender: Some(socket.id()), time_ms: now_ms() };
    let parcel = Parcel::new(event, DeliveryClass::Live);
    socket.node().hub().send(&socket.session().project.id, audience, &parcel, Scope::AllNodes).queued
}

/// Relays an event that has no handler.
pub(crate) async fn relay_unhandled(relay: Relay) {
    relay.send();
}

/// Refused for events of other protocols.
impl FromRequest for Relay {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        let audience = request
            .audience()
            .ok_or_else(|| ReplyError::bad_data("the event names nobody to relay it to"))?;
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
            None => Err("takes Relay, but the app has no Koji door".into()),
        }
    }
}
