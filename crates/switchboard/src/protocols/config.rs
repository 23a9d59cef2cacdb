//! How a protocol serves its clients.

use std::sync::Arc;
use std::time::Duration;

use switchboard_hub::Session;

use crate::node::Node;
use crate::routing::handler::AnyHandler;
use crate::routing::router::Router;

/// What a protocol decides when an app is served.
pub(crate) struct ProtocolConfig {
    pub(crate) router: Router,
    /// Handles the events that have no handler.
    pub(crate) fallback: AnyHandler,
    pub(crate) keep_alive: KeepAlive,
    /// Longest frame of a client; above it the connection closes with 1009.
    pub(crate) frame_bytes_max: usize,
    /// The pause between two messages of a redelivery.
    pub(crate) redelivery_interval: Duration,
}

/// How connections are kept alive, and found dead.
#[derive(Clone, Copy)]
pub(crate) struct KeepAlive {
    /// How often each connection is probed; zero is never.
    pub(crate) interval: Duration,
    pub(crate) probe: Probe,
}

#[derive(Clone, Copy)]
pub(crate) enum Probe {
    /// A WebSocket ping. After `misses_max` pings in a row without a sign of the client it is cut.
    Ping { misses_max: u8 },
    /// A heartbeat of the protocol's own. The function returns false if it closed the client.
    Heartbeat { attempts_max: u32, send: fn(&Node, &Arc<Session>, attempts_max: u32) -> bool },
}

impl KeepAlive {
    pub(crate) fn ping(interval: Duration, misses_max: u8) -> Self {
        KeepAlive { interval, probe: Probe::Ping { misses_max } }
    }
}
