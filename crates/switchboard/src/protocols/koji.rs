//! The Koji protocol: pages without a backend take a seat on a shard, receive its member list, and send
//! to the whole shard or to some of its clients. Wire format: `spec/koji.md`.

mod admit;
mod client_state;
mod connect_params;
mod encode;
mod history;
mod http_routes;
mod identify;
mod info_answers;
mod list_entry;
mod member_entry;
mod member_lists;
pub(crate) mod options;
pub(crate) mod queries;
mod receive;
pub(crate) mod relay;
mod rights;
pub(crate) mod rules;
mod seat;
mod shard_membership;
pub(crate) mod user_info;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Buffer, Event, Payload, Position, ProjectId, Protocol, RoomName, Target};
use switchboard_hub::Session;
use switchboard_wire::{DecodeError, koji};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::refused_event::RefusedEvent;
use crate::node::resume::seat::SentSeat;
use crate::node::type_map::TypeMap;
use crate::protocols::admission::{Admission, AdmissionError, Candidate, Login, Moved, UriError};
use crate::protocols::config::{KeepAlive, ProtocolConfig};
use crate::protocols::koji::admit::SeatRequester;
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::connect_params::{ConnectParams, ParamsError, UriMatch};
use crate::protocols::koji::identify::{accept, identify};
use crate::protocols::koji::list_entry::NewClients;
use crate::protocols::koji::member_lists::MemberLists;
use crate::protocols::koji::options::Koji;
use crate::protocols::koji::relay::relay_unhandled;
use crate::protocols::koji::rights::update_presence;
use crate::protocols::koji::seat::connected_frame;
use crate::protocols::koji::shard_membership::ShardMembership;
use crate::protocols::received::Received;
use crate::protocols::wire_protocol::WireProtocol;
use crate::routing::handler::AnyHandler;
use crate::routing::server::Server;

/// Longest frame of a client, in bytes.
const FRAME_BYTES_MAX: usize = 512 * 1024;

/// Number of consecutive unanswered pings after which a client is disconnected.
const MISSES_MAX: u8 = 2;

pub(crate) struct KojiProtocol;

impl WireProtocol for KojiProtocol {
    type Handshake = Box<ConnectParams>;

    fn match_uri(app: &App, uri: &Uri) -> Option<Result<Box<ConnectParams>, UriError>> {
        let koji = app.setup().extension::<Koji>()?;
        let params = match UriMatch::of(uri) {
            UriMatch::Endpoint => ConnectParams::of(uri, &koji.settings),
            UriMatch::BelowEndpoint => Err(ParamsError::Path),
            UriMatch::Elsewhere => return None,
        };
        Some(params.map(Box::new).map_err(UriError::from))
    }

    fn takes_token_of_headers(params: &Box<ConnectParams>) -> bool {
        params.token.is_none()
    }

    fn project<'a>(_: &'a App, params: &'a Box<ConnectParams>) -> &'a ProjectId {
        &params.project
    }

    fn token(params: &Box<ConnectParams>) -> Option<&str> {
        params.token.as_deref()
    }

    /// Takes a seat for the client.
    async fn admit(
        app: &App,
        mut params: Box<ConnectParams>,
        client: Candidate,
    ) -> Result<Admission, AdmissionError> {
        let token = params.token.take().or(client.token);
        let place = SeatRequester { app, params: &params, id: client.id, ip: client.ip };
        let (seat, login) = match client.moved {
            Some(Moved { identity, seat: Some(seat) }) => {
                let seat = place.admit_moved(identity.as_ref(), seat).await?;
                (seat, identity.map_or(Login::None, Login::Verified))
            }
            Some(Moved { seat: None, .. }) | None => place.admit(token).await?,
        };
        Ok(Admission {
            protocol: Protocol::Koji,
            project: params.project.clone(),
            state: Box::new(ClientState::new(&params, seat.shard.clone(), &seat.entry)),
            greeting: Some(seat.greeting()),
            may_resume: params.rules.resume,
            on_connected: Box::new(move |socket| {
                let membership = ShardMembership::new(socket.node(), socket.session(), seat);
                match login {
                    Login::None => {}
                    Login::Token(token) => identify(socket, Some(token)),
                    Login::Verified(identity) => accept(socket, identity),
                }
                update_presence(socket.node(), socket.session());
                Some(Box::new(membership))
            }),
        })
    }

    fn config(app: &App) -> ProtocolConfig {
        let koji = app.setup().extension::<Koji>();
        let ping_interval = koji.map_or(Duration::ZERO, |koji| koji.settings.ping_interval);
        ProtocolConfig {
            router: koji.map(|koji| koji.router.clone()).unwrap_or_default(),
            fallback: AnyHandler::new(relay_unhandled),
            keep_alive: KeepAlive::ping(ping_interval, MISSES_MAX),
            redelivery_interval: Duration::ZERO,
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    fn receive(
        server: &Arc<Server>,
        socket: &Socket,
        frame: Buffer<'_>,
        time: Instant,
    ) -> Result<Received, DecodeError> {
        receive::receive(server, socket, frame, time)
    }

    fn reserves(event: &Event) -> bool {
        koji::is_reserved(&event.name)
    }

    fn encode_event(event: &Event) -> Bytes {
        encode::event(event)
    }

    fn encode_recorded(event: &Event, room: &RoomName, position: Position) -> Bytes {
        encode::recorded(event, room, position)
    }

    fn encode_notice(name: &str, data: &Payload) -> Option<Bytes> {
        Some(encode::notice(name, data))
    }

    fn seat(session: &Session) -> Option<SentSeat> {
        let client = client_of(session)?;
        let description = Payload::parse(str::from_utf8(&client.entry(session.id).to_bytes()).ok()?).ok()?;
        Some(SentSeat { shard: client.shard.to_string(), description })
    }

    /// The client is connected as after a new handshake, with the same id, and receives the whole member list.
    fn resumed(socket: &Socket, login: Login) {
        let (node, session) = (socket.node(), socket.session());
        let client = client_of(session).expect("every socket of this protocol has this state");
        node.hub().deliver_ahead(session, &connected_frame(session.id, &client.shard));
        node.extension::<MemberLists>().send_list(node, client, session);
        match login {
            Login::None => {}
            Login::Token(token) => identify(socket, Some(token)),
            Login::Verified(identity) => accept(socket, identity),
        }
    }

    fn received_pong(node: &Arc<Node>, session: &Arc<Session>, payload: &[u8]) {
        list_entry::received_pong(node, session, payload);
    }

    fn rights_changed(node: &Arc<Node>, session: &Arc<Session>, left: &[Target], reason: Lost) {
        rights::changed(node, session, left, reason);
    }

    fn notify_extension(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
        rights::notify_payload(node, session, name, data);
    }

    fn notify_refused(node: &Node, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
        rights::notify_refused(node, session, refused);
    }

    /// Updates the time of the client's last ping in the member list.
    fn received_bytes(session: &Session) {
        if let Some(client) = client_of(session) {
            client.record_activity();
        }
    }

    fn add_extensions(extensions: TypeMap) -> TypeMap {
        extensions.with(MemberLists::default()).with(NewClients::default())
    }

    fn http_routes(app: &App) -> Option<axum::Router> {
        app.setup().extension::<Koji>().map(|_| http_routes::routes(app.clone()))
    }

    fn receive_publication(node: &Arc<Node>, publication: &Publication) -> bool {
        let Publication { project, content: Content::ShardChanged(shard), .. } = publication else {
            return false;
        };
        node.extension::<MemberLists>().remote_member_changed(node, project, shard);
        true
    }

    fn publications_missed(node: &Arc<Node>) {
        node.extension::<MemberLists>().publications_missed(node);
    }
}
