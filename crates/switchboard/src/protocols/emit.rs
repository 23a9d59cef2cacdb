//! The emit protocol: events, requests and replies. Wire format: `spec/emit.md`.

mod encode;
mod history;
mod login;
mod notices;
mod receive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use switchboard_event::{Buffer, Event, Payload, Position, ProjectId, Protocol, RoomName, Target};
use switchboard_hub::Session;
use switchboard_wire::{DecodeError, emit};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::Node;
use crate::node::access::grants::Lost;
use crate::node::refused_event::RefusedEvent;
use crate::protocols::admission::{Admission, AdmissionError, Candidate, Login, UriError};
use crate::protocols::config::{KeepAlive, ProtocolConfig};
use crate::protocols::emit::login::{accept, log_in};
use crate::protocols::emit::notices::{notify, notify_left};
use crate::protocols::emit::receive::report_unhandled;
use crate::protocols::received::Received;
use crate::protocols::wire_protocol::WireProtocol;
use crate::routing::handler::AnyHandler;
use crate::routing::router::Router;
use crate::routing::server::Server;

pub(crate) struct EmitProtocol;

impl WireProtocol for EmitProtocol {
    /// The token in the address.
    type Handshake = Option<String>;

    /// Matches every address.
    fn match_uri(app: &App, uri: &Uri) -> Option<Result<Option<String>, UriError>> {
        Some(Ok(if app.reads_tokens() { token_in(uri) } else { None }))
    }

    fn takes_token_of_headers(token: &Option<String>) -> bool {
        token.is_none()
    }

    fn project<'a>(app: &'a App, _: &'a Option<String>) -> &'a ProjectId {
        app.project_id()
    }

    fn token(token: &Option<String>) -> Option<&str> {
        token.as_deref()
    }

    /// Admits every client, without a wait.
    async fn admit(app: &App, token: Option<String>, client: Candidate) -> Result<Admission, AdmissionError> {
        let login = match (client.moved, token.or(client.token)) {
            (Some(moved), _) => moved.identity.map_or(Login::None, Login::Verified),
            (None, token) => token.map_or(Login::None, Login::Token),
        };
        Ok(Admission {
            protocol: Protocol::Emit,
            project: app.project_id().clone(),
            state: Box::new(()),
            greeting: None,
            may_resume: true,
            on_connected: Box::new(move |socket| {
                Self::resumed(socket, login);
                None
            }),
        })
    }

    fn config(app: &App) -> ProtocolConfig {
        ProtocolConfig {
            router: app.setup().extension::<Router>().cloned().unwrap_or_default(),
            fallback: AnyHandler::new(report_unhandled),
            keep_alive: KeepAlive::ping(app.limits().heartbeat_interval, 1),
            redelivery_interval: Duration::ZERO,
            frame_bytes_max: usize::MAX,
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
        emit::is_reserved(&event.name)
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

    fn resumed(socket: &Socket, login: Login) {
        match login {
            Login::None => {}
            Login::Token(token) => log_in(socket, Some(token), None),
            Login::Verified(identity) => accept(socket, identity),
        }
    }

    fn rights_changed(node: &Arc<Node>, session: &Arc<Session>, left: &[Target], reason: Lost) {
        notify_left(node, session, left, reason);
    }

    fn notify_extension(node: &Node, session: &Arc<Session>, name: &str, data: &Payload) {
        notify(node, session, &format!("@{name}"), data);
    }

    fn notify_refused(node: &Node, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
        notices::notify_refused(node, session, refused);
    }

    fn encode_request(name: &str, data: &Payload, id: u32) -> Option<Bytes> {
        Some(encode::request(name, data, id))
    }

    fn encode_reply(ack: &Payload, data: &Payload) -> Option<Bytes> {
        Some(encode::reply(ack, data))
    }
}

/// The first `token` in the query that is not empty.
fn token_in(uri: &Uri) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, value)| name == "token" && !value.is_empty()).map(|(_, token)| token.into_owned())
}
