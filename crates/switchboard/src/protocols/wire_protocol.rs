//! The interface between the framework and a wire protocol.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Uri;
use switchboard_backplane::Publication;
use switchboard_event::{Buffer, Event, Payload, Position, ProjectId, RoomName, Target};
use switchboard_hub::Session;
use switchboard_wire::DecodeError;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::refused_event::RefusedEvent;
use crate::node::resume::seat::SentSeat;
use crate::node::type_map::TypeMap;
use crate::protocols::admission::{Admission, AdmissionError, Candidate, Login, UriError};
use crate::protocols::config::ProtocolConfig;
use crate::protocols::received::Received;
use crate::routing::server::Server;

/// A wire protocol. The methods with a body are for features that not every protocol has.
pub(crate) trait WireProtocol {
    /// The checked parameters of a handshake.
    type Handshake: Clone + Send;

    /// Checks the URI of a handshake; `None` if it is not for this protocol.
    fn match_uri(app: &App, uri: &Uri) -> Option<Result<Self::Handshake, UriError>>;

    /// Returns true if a token in the headers of the handshake logs the client in: the protocol has such tokens, and
    /// the address has none.
    fn takes_token_of_headers(_handshake: &Self::Handshake) -> bool {
        false
    }

    /// The project of the client.
    fn project<'a>(app: &'a App, handshake: &'a Self::Handshake) -> &'a ProjectId;

    /// The token in the address.
    fn token(_handshake: &Self::Handshake) -> Option<&str> {
        None
    }

    /// Admits a client before the hub knows it.
    async fn admit(
        app: &App,
        handshake: Self::Handshake,
        client: Candidate,
    ) -> Result<Admission, AdmissionError>;

    /// The configuration in an app that is being served.
    fn config(app: &App) -> ProtocolConfig;

    /// Handles a frame of a client that was read at a time.
    fn receive(
        server: &Arc<Server>,
        socket: &Socket,
        frame: Buffer<'_>,
        time: Instant,
    ) -> Result<Received, DecodeError>;

    /// Returns true if clients must not receive the event, because its name is reserved for events of the server itself.
    /// The origin of the event does not matter: a client, another node, an inbox or an original server.
    fn reserves(event: &Event) -> bool;

    fn encode_event(event: &Event) -> Bytes;

    /// Encodes an event with its place in the history of its room.
    fn encode_recorded(event: &Event, _room: &RoomName, _position: Position) -> Bytes {
        Self::encode_event(event)
    }

    /// Encodes a message from the inbox; `number` counts the messages of one redelivery from 1.
    fn encode_stored(event: &Event, _number: u64) -> Bytes {
        Self::encode_event(event)
    }

    /// Encodes a request to a client; `None` if clients cannot reply.
    fn encode_request(_name: &str, _data: &Payload, _id: u32) -> Option<Bytes> {
        None
    }

    /// Encodes a reply to a client's request; `None` if clients cannot send requests.
    fn encode_reply(_ack: &Payload, _data: &Payload) -> Option<Bytes> {
        None
    }

    /// The seat of a session that moves to another node; `None` for protocols without seats.
    fn seat(_session: &Session) -> Option<SentSeat> {
        None
    }

    /// Encodes an event that the original protocol does not have, for clients that understand such events (`sb=1`); `None` if
    /// the protocol has no such events.
    fn encode_notice(_name: &str, _data: &Payload) -> Option<Bytes> {
        None
    }

    /// Called when a client has resumed its session: sends what its protocol does not keep in the session, such as a member list,
    /// and logs the client in.
    fn resumed(_socket: &Socket, _login: Login) {}

    /// Reacts to a change of a client's rights. The client has left the given rooms and tags.
    fn rights_changed(_node: &Arc<Node>, _session: &Arc<Session>, _left: &[Target], _reason: Lost) {}

    /// Sends an event that the original protocol does not have, if the client understands such events. The protocol adds its
    /// prefix to the name.
    fn notify_extension(_node: &Node, _session: &Arc<Session>, _name: &str, _data: &Payload) {}

    /// Notifies a client that its event was refused, if it understands that.
    fn notify_refused(_node: &Node, _session: &Arc<Session>, _refused: &RefusedEvent<'_>) {}

    /// Handles a pong of a client.
    fn received_pong(_node: &Arc<Node>, _session: &Arc<Session>, _payload: &[u8]) {}

    /// Records that bytes arrived from a client.
    fn received_bytes(_session: &Session) {}

    /// Adds the state that the protocol keeps with a node.
    fn add_extensions(extensions: TypeMap) -> TypeMap {
        extensions
    }

    /// The HTTP routes that clients of the protocol use.
    fn http_routes(_app: &App) -> Option<axum::Router> {
        None
    }

    /// Handles a publication of another node. Returns false if it is not for this protocol.
    fn receive_publication(_node: &Arc<Node>, _publication: &Publication) -> bool {
        false
    }

    /// Handles a gap in the publications of other nodes.
    fn publications_missed(_node: &Arc<Node>) {}
}
