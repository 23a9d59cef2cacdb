//! The emit protocol: events, requests and replies. Wire format: `spec/emit.md`.

pub(crate) mod encode;
pub(crate) mod receive;

use std::time::Duration;

use switchboard_event::{ProjectId, Protocol};

use crate::api::app::App;
use crate::protocols::admission::Admission;
use crate::protocols::config::{KeepAlive, ProtocolConfig};
use crate::protocols::emit::receive::report_unhandled;
use crate::routing::handler::AnyHandler;
use crate::routing::router::Router;

pub(crate) fn config(app: &App) -> ProtocolConfig {
    ProtocolConfig {
        router: app.setup().extension::<Router>().cloned().unwrap_or_default(),
        fallback: AnyHandler::new(report_unhandled),
        keep_alive: KeepAlive::ping(app.limits().heartbeat_interval, 1),
        redelivery_interval: Duration::ZERO,
        frame_bytes_max: app.limits().message_bytes_max,
    }
}

/// Admits every client.
pub(crate) fn admit(project: ProjectId) -> Admission {
    Admission {
        protocol: Protocol::Emit,
        project,
        state: Box::new(()),
        greeting: None,
        on_connected: Box::new(|_| None),
    }
}
