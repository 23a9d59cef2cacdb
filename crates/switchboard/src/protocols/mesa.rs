//! The Mesa protocol: clients log in as a user, receive messages that are dispatched to the user, and send messages to
//! other processes. Wire format: `spec/mesa.md`.

mod client_state;
mod encode;
mod heartbeat;
mod login;
pub(crate) mod options;
mod receive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use switchboard_event::{Buffer, Event, ProjectId, Protocol};
use switchboard_wire::{DecodeError, mesa};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::protocols::admission::{Admission, AdmissionError, Candidate, UriError};
use crate::protocols::config::{KeepAlive, Probe, ProtocolConfig};
use crate::protocols::mesa::client_state::{ClientState, greeting};
use crate::protocols::mesa::heartbeat::send_heartbeat;
use crate::protocols::mesa::login::start_login_timeout;
use crate::protocols::mesa::options::{Mesa, MesaOnly, MesaSettings};
use crate::protocols::mesa::receive::report_unhandled;
use crate::protocols::received::Received;
use crate::protocols::wire_protocol::WireProtocol;
use crate::routing::handler::AnyHandler;
use crate::routing::server::Server;

pub(crate) struct MesaProtocol;

impl WireProtocol for MesaProtocol {
    type Handshake = Arc<MesaSettings>;

    fn match_uri(app: &App, uri: &Uri) -> Option<Result<Arc<MesaSettings>, UriError>> {
        let setup = app.setup();
        let mesa = setup.extension::<Mesa>()?;
        let matches = setup.extension::<MesaOnly>().is_some() || mesa.settings.matches(uri.path());
        matches.then(|| Ok(mesa.settings.clone()))
    }

    fn project<'a>(app: &'a App, settings: &'a Arc<MesaSettings>) -> &'a ProjectId {
        settings.project.as_ref().unwrap_or(app.project_id())
    }

    /// Admits every client.
    async fn admit(
        app: &App,
        settings: Arc<MesaSettings>,
        _client: Candidate,
    ) -> Result<Admission, AdmissionError> {
        Ok(Admission {
            protocol: Protocol::Mesa,
            project: Self::project(app, &settings).clone(),
            greeting: Some(greeting(&settings)),
            may_resume: false,
            state: Box::new(ClientState::new(settings)),
            on_connected: Box::new(|socket| {
                let deadline = start_login_timeout(socket.node(), socket.session())?;
                Some(Box::new(deadline))
            }),
        })
    }

    fn config(app: &App) -> ProtocolConfig {
        let mesa = app.setup().extension::<Mesa>();
        let settings = mesa.map(|mesa| &*mesa.settings);
        let keep_alive = match settings {
            Some(MesaSettings { heartbeat_interval: Some(interval), heartbeat_attempts_max, .. }) => {
                let probe = Probe::Heartbeat { attempts_max: *heartbeat_attempts_max, send: send_heartbeat };
                KeepAlive { interval: *interval, probe }
            }
            _ => KeepAlive::ping(app.limits().heartbeat_interval, 1),
        };
        ProtocolConfig {
            router: mesa.map(|mesa| mesa.router.clone()).unwrap_or_default(),
            fallback: AnyHandler::new(report_unhandled),
            keep_alive,
            redelivery_interval: settings.map_or(Duration::ZERO, |settings| settings.redelivery_interval),
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

    /// Backends may send every operation, as with the original.
    fn reserves(event: &Event) -> bool {
        event.sender.is_some() && mesa::is_reserved(&event.name)
    }

    fn encode_event(event: &Event) -> Bytes {
        encode::event(event, None)
    }

    fn encode_stored(event: &Event, number: u64) -> Bytes {
        encode::event(event, Some(number))
    }
}
