//! The result of a handshake: an admitted client that the hub does not know yet, or an error.

use std::net::IpAddr;

use bytes::Bytes;
use http::StatusCode;
use switchboard_event::{ProjectId, Protocol, SocketId};
use switchboard_ws::close::CloseCode;

use crate::api::socket::Socket;
use crate::node::connection_state::ProtocolState;
use crate::node::ending_session::Guard;
use crate::node::refusal_reason::RefusalReason;
use crate::node::resume::seat::MovedSeat;
use crate::node::verifier::Identity;

/// A client whose handshake is accepted, and that its protocol has not admitted yet.
pub(crate) struct Candidate {
    /// The id that its socket will have.
    pub(crate) id: SocketId,
    pub(crate) ip: Option<IpAddr>,
    /// The token in the headers of the handshake.
    pub(crate) token: Option<String>,
    /// The session that continues in this connection comes from another node.
    pub(crate) moved: Option<Moved>,
}

/// A session that continues in a new connection to this node.
pub(crate) struct Moved {
    /// The identity of the token in the handshake.
    pub(crate) identity: Option<Identity>,
    pub(crate) seat: Option<MovedSeat>,
}

/// A client that its protocol has admitted.
pub(crate) struct Admission {
    pub(crate) protocol: Protocol,
    pub(crate) project: ProjectId,
    pub(crate) state: ProtocolState,
    /// The first frame, if the protocol has one.
    pub(crate) greeting: Option<Bytes>,
    /// Whether the session may outlive its connection.
    pub(crate) may_resume: bool,
    pub(crate) on_connected: OnConnected,
}

/// Called once the hub knows the session. The returned guard is dropped when the connection ends.
pub(crate) type OnConnected = Box<dyn FnOnce(&Socket) -> Option<Guard> + Send>;

/// How a client is logged in once it is connected.
pub(crate) enum Login {
    None,
    /// The token is still to be verified.
    Token(String),
    Verified(Identity),
}

/// A protocol refuses a client after the handshake. The message is the reason of the close frame.
#[derive(Debug)]
pub(crate) struct AdmissionError {
    pub(crate) reason: RefusalReason,
    pub(crate) code: CloseCode,
    pub(crate) message: String,
}

/// A protocol refuses the URI of a handshake. The message is sent to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct UriError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}
