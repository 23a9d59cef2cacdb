//! The Mesa protocol: clients log in as a user, receive messages that are dispatched to the user, and
//! send messages to other processes. Wire format: `spec/mesa.md`.

mod client_state;
pub(crate) mod encode;
mod heartbeat;
mod login;
pub(crate) mod options;
pub(crate) mod receive;

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use switchboard_event::{ProjectId, Protocol};

use crate::api::app::App;
use crate::api::setup::Setup;
use crate::protocols::admission::Admission;
use crate::protocols::config::{KeepAlive, Probe, ProtocolConfig};
use crate::protocols::mesa::client_state::{ClientState, greeting};
use crate::protocols::mesa::heartbeat::beat;
use crate::protocols::mesa::login::expect_login;
use crate::protocols::mesa::options::{Mesa, MesaOnly, MesaSettings};
use crate::protocols::mesa::receive::report_unhandled;
use crate::routing::handler::AnyHandler;

pub(crate) fn config(app: &App) -> ProtocolConfig {
    let mesa = app.setup().extension::<Mesa>();
    let settings = mesa.map(|mesa| &*mesa.settings);
    let keep_alive = match settings {
        Some(MesaSettings { heartbeat_interval: Some(interval), heartbeat_attempts_max, .. }) => {
            let probe = Probe::Heartbeat { attempts_max: *heartbeat_attempts_max, beat };
            KeepAlive { interval: *interval, probe }
        }
        _ => KeepAlive::ping(app.limits().heartbeat_interval, 1),
    };
    ProtocolConfig {
        router: mesa.map(|mesa| mesa.router.clone()).unwrap_or_default(),
        fallback: AnyHandler::new(report_unhandled),
        keep_alive,
        redelivery_interval: settings.map_or(Duration::ZERO, |settings| settings.redelivery_interval),
        frame_bytes_max: app.limits().message_bytes_max,
    }
}

/// The settings for a handshake, if it is for this protocol.
pub(crate) fn settings(setup: &Setup, uri: &Uri) -> Option<Arc<MesaSettings>> {
    let mesa = setup.extension::<Mesa>()?;
    let is_ours = setup.extension::<MesaOnly>().is_some() || mesa.settings.matches(uri.path());
    is_ours.then(|| mesa.settings.clone())
}

/// Admits every client; `default` is the project of those whose settings name none.
pub(crate) fn admit(settings: Arc<MesaSettings>, default: ProjectId) -> Admission {
    Admission {
        protocol: Protocol::Mesa,
        project: settings.project.clone().unwrap_or(default),
        greeting: Some(greeting(&settings)),
        state: Box::new(ClientState::new(settings)),
        on_connected: Box::new(|socket| {
            expect_login(socket.node(), socket.session());
            None
        }),
    }
}
