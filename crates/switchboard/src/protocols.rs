//! The settings and queries of the protocols [`Koji`](crate::Koji) and [`Mesa`](crate::Mesa).

// Each protocol translates frames to events and back, admits clients and keeps their connections alive. Everything
// else is the same for all protocols. A protocol is a folder with an implementation of `WireProtocol` and a line in
// the `protocols!` list below. The functions here call the implementation through a `match` on `Protocol`.

pub(crate) mod admission;
pub(crate) mod config;
mod emit;
pub(crate) mod endpoint;
pub(crate) mod koji;
pub(crate) mod mesa;
mod path;
pub(crate) mod received;
pub(crate) mod wire_protocol;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Uri;
use switchboard_backplane::Publication;
use switchboard_event::{Buffer, Event, Payload, Position, ProjectId, Protocol, RoomName, Target};
use switchboard_hub::{HubEvent, Session};
use switchboard_wire::DecodeError;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::access::grants::Lost;
use crate::node::encoders::FrameEncoders;
use crate::node::flow_control::between_nodes;
use crate::node::inbox::gap::redeliver_after_gap;
use crate::node::refused_event::RefusedEvent;
use crate::node::resume::seat::SentSeat;
use crate::node::type_map::TypeMap;
use crate::node::{Node, flow_control, incoming, room_repair};
use crate::protocols::admission::{Admission, AdmissionError, Candidate, Login, UriError};
use crate::protocols::config::ProtocolConfig;
use crate::protocols::mesa::options::MesaOnly;
use crate::protocols::received::Received;
use crate::protocols::wire_protocol::WireProtocol;
use crate::routing::server::Server;

pub use endpoint::Endpoint;
pub use koji::options::KojiSettings;
pub use koji::queries::ShardClient;
pub use koji::rules::ProjectRules;
pub use koji::user_info::UserInfoError;
pub use mesa::options::MesaSettings;

/// Dispatches to the implementations of the listed protocols.
macro_rules! protocols {
    ($($protocol:ident => $implementation:ty),* $(,)?) => {
        /// A handshake, by the protocol that accepts it.
        #[derive(Clone)]
        pub(crate) enum Handshake {
            $($protocol(<$implementation as WireProtocol>::Handshake)),*
        }

        impl Handshake {
            /// Selects the protocol by the URI: the first in the list that matches it.
            pub(crate) fn of(app: &App, uri: &Uri) -> Result<Self, UriError> {
                $(if let Some(handshake) = <$implementation>::match_uri(app, uri) {
                    return handshake.map(Handshake::$protocol);
                })*
                unreachable!("the last protocol matches every URI")
            }

            /// Returns true if a token in the headers logs the client in.
            pub(crate) fn takes_token_of_headers(&self) -> bool {
                match self {
                    $(Handshake::$protocol(handshake) => <$implementation>::takes_token_of_headers(handshake)),*
                }
            }

            pub(crate) fn protocol(&self) -> Protocol {
                match self {
                    $(Handshake::$protocol(_) => Protocol::$protocol),*
                }
            }

            /// The project of the client.
            pub(crate) fn project<'a>(&'a self, app: &'a App) -> &'a ProjectId {
                match self {
                    $(Handshake::$protocol(handshake) => <$implementation>::project(app, handshake)),*
                }
            }

            /// The token in the address.
            pub(crate) fn token(&self) -> Option<&str> {
                match self {
                    $(Handshake::$protocol(handshake) => <$implementation>::token(handshake)),*
                }
            }

            /// Admits the client.
            pub(crate) async fn admit(
                self,
                app: &App,
                client: Candidate,
            ) -> Result<Admission, AdmissionError> {
                match self {
                    $(Handshake::$protocol(handshake) => <$implementation>::admit(app, handshake, client).await),*
                }
            }
        }

        fn reserves(protocol: Protocol, event: &Event) -> bool {
            match protocol {
                $(Protocol::$protocol => <$implementation>::reserves(event)),*
            }
        }

        fn encode_event(
            protocol: Protocol,
            event: &Event,
            at: Option<(&RoomName, Position)>,
        ) -> Option<Bytes> {
            if reserves(protocol, event) {
                return None;
            }
            Some(match (protocol, at) {
                $(
                    (Protocol::$protocol, None) => <$implementation>::encode_event(event),
                    (Protocol::$protocol, Some((room, position))) => {
                        <$implementation>::encode_recorded(event, room, position)
                    }
                ),*
            })
        }

        fn encode_stored(protocol: Protocol, event: &Event, number: u64) -> Option<Bytes> {
            let encode = match protocol {
                $(Protocol::$protocol => <$implementation>::encode_stored),*
            };
            (!reserves(protocol, event)).then(|| encode(event, number))
        }

        fn encode_request(protocol: Protocol, name: &str, data: &Payload, id: u32) -> Option<Bytes> {
            match protocol {
                $(Protocol::$protocol => <$implementation>::encode_request(name, data, id)),*
            }
        }

        fn encode_reply(protocol: Protocol, ack: &Payload, data: &Payload) -> Option<Bytes> {
            match protocol {
                $(Protocol::$protocol => <$implementation>::encode_reply(ack, data)),*
            }
        }

        /// Encodes a notice; `None` if the protocol has no notices.
        pub(crate) fn encode_notice(protocol: Protocol, name: &str, data: &Payload) -> Option<Bytes> {
            match protocol {
                $(Protocol::$protocol => <$implementation>::encode_notice(name, data)),*
            }
        }

        /// The seat of a session that moves to another node.
        pub(crate) fn seat(session: &Session) -> Option<SentSeat> {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::seat(session)),*
            }
        }

        /// Restores the protocol's state of a client that has resumed its session, and logs it in.
        pub(crate) fn resumed(socket: &Socket, login: Login) {
            match socket.session().protocol {
                $(Protocol::$protocol => <$implementation>::resumed(socket, login)),*
            }
        }

        /// Handles a frame of a client that was read at a time.
        pub(crate) fn receive(
            server: &Arc<Server>,
            socket: &Socket,
            frame: Buffer<'_>,
            time: Instant,
        ) -> Result<Received, DecodeError> {
            match socket.session().protocol {
                $(Protocol::$protocol => <$implementation>::receive(server, socket, frame, time)),*
            }
        }

        /// Reacts to a change of a client's rights, for the node.
        pub(crate) fn on_rights_changed(
            node: &Arc<Node>,
            session: &Arc<Session>,
            left: &[Target],
            reason: Lost,
        ) {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::rights_changed(node, session, left, reason)),*
            }
        }

        /// Sends a notice to a client, if the client understands notices.
        pub(crate) fn notify_extension(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::notify_extension(node, session, name, data)),*
            }
        }

        /// Notifies a client that its event was refused, if it understands that.
        pub(crate) fn notify_refused(node: &Node, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::notify_refused(node, session, refused)),*
            }
        }

        /// Handles a pong of a client.
        pub(crate) fn received_pong(node: &Arc<Node>, session: &Arc<Session>, payload: &[u8]) {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::received_pong(node, session, payload)),*
            }
        }

        /// Records that bytes arrived from a client.
        pub(crate) fn received_bytes(session: &Session) {
            match session.protocol {
                $(Protocol::$protocol => <$implementation>::received_bytes(session)),*
            }
        }

        /// The configuration of a protocol in an app that is being served.
        pub(crate) fn config(protocol: Protocol, app: &App) -> ProtocolConfig {
            match protocol {
                $(Protocol::$protocol => <$implementation>::config(app)),*
            }
        }

        /// Adds the state that the protocols keep with a node.
        pub(crate) fn add_extensions(extensions: TypeMap) -> TypeMap {
            $(let extensions = <$implementation>::add_extensions(extensions);)*
            extensions
        }

        /// The HTTP routes of all protocols; `None` if no protocol has a route in this app.
        pub(crate) fn http_routes(app: &App) -> Option<axum::Router> {
            if app.setup().extension::<MesaOnly>().is_some() {
                return None;
            }
            [$(<$implementation>::http_routes(app)),*].into_iter().flatten().reduce(axum::Router::merge)
        }

        /// Returns true if a protocol has handled the publication.
        fn receive_publication(node: &Arc<Node>, publication: &Publication) -> bool {
            $(<$implementation>::receive_publication(node, publication))||*
        }

        fn publications_missed(node: &Arc<Node>) {
            $(<$implementation>::publications_missed(node);)*
        }
    };
}

// In the order in which they are matched with the URI of a handshake.
protocols! {
    Mesa => mesa::MesaProtocol,
    Koji => koji::KojiProtocol,
    Emit => emit::EmitProtocol,
}

impl Handshake {
    /// The handshake of a stream that is connected without a URI.
    pub(crate) fn without_uri() -> Self {
        Handshake::Emit(None)
    }
}

/// The frame encoders, for the node.
pub(crate) static ENCODERS: FrameEncoders = FrameEncoders {
    event: encode_event,
    reserves,
    stored: encode_stored,
    notice: encode_notice,
    request: encode_request,
    reply: encode_reply,
};

/// Handles an event of the hub.
pub(crate) fn on_hub_event(node: &Arc<Node>, event: HubEvent) {
    match event {
        HubEvent::Publication(publication) => {
            if !receive_publication(node, &publication) {
                incoming::receive(node, publication);
            }
        }
        HubEvent::Behind { sender, receivers } => flow_control::receivers_behind(node, sender, receivers),
        HubEvent::Overflowed(session) => node.overflowed.add(session),
        HubEvent::Passed { sender, bytes, stage } => between_nodes::passed(node, sender, bytes, stage),
        HubEvent::RoomBegins { project, room, number } => {
            room_repair::begin_room(node, project, room, number);
        }
        HubEvent::Hole { project, room } => room_repair::repair(node, project, room),
        HubEvent::Missed => {
            publications_missed(node);
            room_repair::repair_all(node);
            redeliver_after_gap(node);
            node.revocations.refresh();
        }
    }
}
