//! Gates, with which an app decides whether a client may connect, before any of its events is handled.

use std::future::Future;
use std::pin::Pin;

use switchboard_event::{ProjectId, Protocol, RoomName, SocketId};

use crate::node::connection_info::ConnectionInfo;
use crate::node::verifier::Identity;

/// Decides which clients may connect; see [`App::with_connect_gate`](crate::App::with_connect_gate).
pub trait ConnectGate: Send + Sync + 'static {
    /// Decides about a client that its protocol has admitted. Nothing is read from the client until this is ready, so
    /// bound the time. A token in its handshake is verified afterwards, and its user then replaces that of the gate.
    fn admit<'a>(&'a self, client: ConnectingClient<'a>) -> ConnectFuture<'a>;
}

/// The decision about a client.
pub type ConnectFuture<'a> = Pin<Box<dyn Future<Output = Result<Admitted, ConnectRefusal>> + Send + 'a>>;

/// A client that wants to connect.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ConnectingClient<'a> {
    /// The id that its socket will have.
    pub socket: SocketId,
    /// Its project.
    pub project: &'a ProjectId,
    /// Its protocol.
    pub protocol: Protocol,
    /// Path, query, headers and address of its handshake.
    pub info: &'a ConnectionInfo,
}

/// A client that may connect, and what the server does before it handles the client's events. Default: nothing.
#[derive(Debug, Clone, Default)]
pub struct Admitted {
    /// Logs the client in, as a token would.
    pub identity: Option<Identity>,
    /// Rooms that the client joins.
    pub rooms: Vec<RoomName>,
}

/// A client that may not connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRefusal {
    /// The close code: 1008, 1013, or 3000 to 4999.
    pub code: u16,
    /// The reason in the close frame, truncated to 123 bytes.
    pub reason: String,
}

impl ConnectRefusal {
    /// The decision cannot be made now: 1013, after which clients try again.
    pub fn unavailable() -> Self {
        ConnectRefusal { code: 1013, reason: "the server cannot decide about the connection now".into() }
    }
}
