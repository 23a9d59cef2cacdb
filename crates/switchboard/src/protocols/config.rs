//! The configuration of a protocol in an app that is being served.

use std::sync::Arc;
use std::time::Duration;

use switchboard_hub::Session;

use crate::node::Node;
use crate::routing::handler::AnyHandler;
use crate::routing::router::Router;

/// The handlers, keep-alive and limits of a protocol's clients.
pub(crate) struct ProtocolConfig {
    pub(crate) router: Router,
    /// Handles events that have no handler.
    pub(crate) fallback: AnyHandler,
    pub(crate) keep_alive: KeepAlive,
    /// Longest frame that the protocol accepts, in bytes, in addition to the app's limit; a longer one closes
    /// the connection with 1009.
    pub(crate) frame_bytes_max: usize,
    /// Pause between two messages of a redelivery; zero for none.
    pub(crate) redelivery_interval: Duration,
}

/// How a server keeps connections alive and detects dead ones.
#[derive(Clone, Copy)]
pub(crate) struct KeepAlive {
    /// Time between two probes of a connection; zero disables them.
    pub(crate) interval: Duration,
    pub(crate) probe: Probe,
}

#[derive(Clone, Copy)]
pub(crate) enum Probe {
    /// A WebSocket ping. A client from which no bytes arrive for `misses_max` consecutive pings is
    /// disconnected.
    Ping { misses_max: u8 },
    /// A heartbeat message of the protocol. `send` returns false if it closed the client instead.
    Heartbeat { attempts_max: u32, send: fn(&Node, &Arc<Session>, attempts_max: u32) -> bool },
}

impl KeepAlive {
    pub(crate) fn ping(interval: Duration, misses_max: u8) -> Self {
        KeepAlive { interval, probe: Probe::Ping { misses_max } }
    }
}
