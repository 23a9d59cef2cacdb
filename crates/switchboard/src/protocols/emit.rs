//! The emit protocol: events, requests and replies. Wire format: `spec/emit.md`.

mod encode;
mod receive;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use switchboard_event::{Event, Payload, Protocol, SocketId};
use switchboard_wire::{DecodeError, emit};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::protocols::admission::{AddressError, Admission, AdmissionError};
use crate::protocols::config::{KeepAlive, ProtocolConfig};
use crate::protocols::emit::receive::report_unhandled;
use crate::protocols::received::Received;
use crate::protocols::wire_protocol::WireProtocol;
use crate::routing::handler::AnyHandler;
use crate::routing::router::Router;
use crate::routing::server::Server;

pub(crate) struct EmitProtocol;

impl WireProtocol for EmitProtocol {
    type Handshake = ();

    /// Matches every address.
    fn match_address(_app: &App, _uri: &Uri) -> Option<Result<(), AddressError>> {
        Some(Ok(()))
    }

    /// Admits every client, without a wait.
    async fn admit(app: &App, _handshake: (), _id: SocketId) -> Result<Admission, AdmissionError> {
        Ok(Admission {
            protocol: Protocol::Emit,
            project: app.project_id().clone(),
            state: Box::new(()),
            greeting: None,
            on_connected: Box::new(|_| None),
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

    fn receive(server: &Arc<Server>, socket: &Socket, frame: &Bytes) -> Result<Received, DecodeError> {
        receive::receive(server, socket, frame)
    }

    fn reserves(event: &Event) -> bool {
        emit::is_reserved(&event.name)
    }

    fn encode_event(event: &Event) -> Bytes {
        encode::event(event)
    }

    fn encode_request(name: &str, data: &Payload, id: u32) -> Option<Bytes> {
        Some(encode::request(name, data, id))
    }

    fn encode_reply(ack: &Payload, data: &Payload) -> Option<Bytes> {
        Some(encode::reply(ack, data))
    }
}
