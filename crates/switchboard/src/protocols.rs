//! The wire protocols. A protocol translates frames into events and back, admits its clients, and
//! keeps them alive; everything else is the same for all.
//!
//! Each has a folder, and a line in [`by_protocol`] and in [`Handshake`].

pub(crate) mod admission;
pub(crate) mod config;
mod emit;
pub(crate) mod endpoint;
pub(crate) mod koji;
pub(crate) mod mesa;

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Event, Payload, Protocol, SocketId};
use switchboard_hub::{HubEvent, Session};
use switchboard_wire::DecodeError;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::codec::Codec;
use crate::node::inbox::gap::redeliver_after_gap;
use crate::node::{Node, incoming};
use crate::protocols::admission::Admission;
use crate::protocols::config::ProtocolConfig;
use crate::protocols::koji::connect_params::{ConnectParams, ParamsError};
use crate::protocols::koji::member_lists::MemberLists;
use crate::protocols::mesa::options::{MesaOnly, MesaSettings};
use crate::routing::request::Request;
use crate::routing::server::Server;

/// Calls the function of that path in the folder of a protocol.
macro_rules! by_protocol {
    ($protocol:expr, $($function:ident)::+ ($($argument:expr),*)) => {
        match $protocol {
            Protocol::Emit => emit::$($function)::+($($argument),*),
            Protocol::Koji => koji::$($function)::+($($argument),*),
            Protocol::Mesa => mesa::$($function)::+($($argument),*),
        }
    };
}

/// The writers of frames, for the node.
pub(crate) static CODEC: Codec = Codec { event: encode, stored: encode_stored, request, reply };

fn encode(protocol: Protocol, event: &Event) -> Bytes {
    match protocol {
        Protocol::Emit => emit::encode::encode(event),
        Protocol::Koji => koji::encode::encode(event),
        Protocol::Mesa => mesa::encode::encode(event, None),
    }
}

fn encode_stored(protocol: Protocol, event: &Event, number: u64) -> Bytes {
    match protocol {
        Protocol::Mesa => mesa::encode::encode(event, Some(number)),
        Protocol::Emit | Protocol::Koji => encode(protocol, event),
    }
}

fn request(protocol: Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes> {
    (protocol == Protocol::Emit).then(|| emit::encode::request(name, data, id))
}

fn reply(protocol: Protocol, ack: &Payload, data: &Payload) -> Option<Bytes> {
    (protocol == Protocol::Emit).then(|| emit::encode::reply(ack, data))
}

/// Handles a frame, or returns its event if that is for handlers.
pub(crate) fn receive(
    server: &Arc<Server>,
    socket: &Socket,
    frame: &Bytes,
) -> Result<Option<Request>, DecodeError> {
    by_protocol!(socket.session().protocol, receive::receive(server, socket, frame))
}

/// Records that bytes of a client arrived.
pub(crate) fn received_bytes(session: &Session) {
    if session.protocol == Protocol::Koji {
        koji::received_bytes(session);
    }
}

/// How a protocol serves its clients.
pub(crate) fn config(protocol: Protocol, app: &App) -> ProtocolConfig {
    by_protocol!(protocol, config(app))
}

/// The HTTP routes of the protocols; `None` if they have none in this app.
pub(crate) fn http_routes(app: &App) -> Option<axum::Router> {
    let has_routes = app.setup().extension::<koji::options::Koji>().is_some() && !is_mesa_only(app);
    has_routes.then(|| koji::http_routes::routes(app.clone()))
}

fn is_mesa_only(app: &App) -> bool {
    app.setup().extension::<MesaOnly>().is_some()
}

/// Handles an event of the hub.
pub(crate) fn on_hub_event(node: &Arc<Node>, event: HubEvent) {
    let lists = node.extension::<MemberLists>();
    match event {
        HubEvent::Publication(Publication { project, content: Content::ShardChanged(shard), .. }) => {
            lists.changed_elsewhere(node, &project, &shard);
        }
        HubEvent::Publication(publication) => incoming::receive(node, publication),
        HubEvent::Missed => {
            lists.missed(node);
            redeliver_after_gap(node);
        }
    }
}

/// Why the address of a handshake is refused.
pub(crate) type AddressError = ParamsError;

/// A handshake, by the protocol that it is for.
pub(crate) enum Handshake {
    Emit,
    Koji(Box<ConnectParams>),
    Mesa(Arc<MesaSettings>),
}

impl Handshake {
    /// Decides by the address.
    pub(crate) fn of(app: &App, uri: &Uri) -> Result<Self, AddressError> {
        if let Some(settings) = mesa::settings(app.setup(), uri) {
            return Ok(Handshake::Mesa(settings));
        }
        match koji::ticket(app.setup(), uri) {
            Some(ticket) => ticket.map(Handshake::Koji),
            None => Ok(Handshake::Emit),
        }
    }

    /// Admits the client. The error is the reason to close with.
    pub(crate) async fn admit(self, app: &App, id: SocketId) -> Result<Admission, String> {
        match self {
            Handshake::Emit => Ok(emit::admit(app.project_id().clone())),
            Handshake::Koji(ticket) => koji::admit(app.node(), ticket, id).await,
            Handshake::Mesa(settings) => Ok(mesa::admit(settings, app.project_id().clone())),
        }
    }
}
