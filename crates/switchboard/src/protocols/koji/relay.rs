//! Passing on what a client without a server sends to others.

use switchboard_event::{Audience, DeliveryClass, Event, Name, Parcel, Payload};
use switchboard_hub::Scope;

use crate::api::socket::Socket;
use crate::builder::Setup;
use crate::node::clock::now_ms;
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
    pub(crate) fn new(socket: Socket, name: Name, payload: Payload, audience: Audience) -> Self {
        Relay { socket, name, payload, audience }
    }

    pub(crate) fn parts(&self) -> (Socket, Name, Payload) {
        (self.socket.clone(), self.name.clone(), self.payload.clone())
    }

    /// Whom the client means.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Sends the event as it came. Returns how many sockets of this node have it queued.
    pub fn send(self) -> usize {
        let payload = self.payload.clone();
        self.send_instead(payload)
    }

    /// Sends the event with other data.
    pub fn send_instead(self, payload: Payload) -> usize {
        let Relay { socket, name, audience, .. } = self;
        let event = Event { name, data: payload, sender: Some(socket.id()), time_ms: now_ms() };
        let parcel = Parcel::new(event, DeliveryClass::Live);
        let app = socket.app();
        app.hub().send(app.project_id(), &audience, &parcel, Scope::AllNodes).queued
    }
}

/// Refused for events that do not come from a client without a server.
impl FromRequest for Relay {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.relay().ok_or_else(|| ReplyError::bad_data("the event names nobody to relay it to"))
    }

    fn check(setup: &Setup) -> Result<(), String> {
        match &setup.koji {
            Some(_) => Ok(()),
            None => Err("takes Relay, but the app has no Koji door".into()),
        }
    }
}
