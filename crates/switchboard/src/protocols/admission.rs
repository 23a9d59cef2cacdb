//! A client that its protocol has admitted, before the hub knows it.

use std::any::Any;

use bytes::Bytes;
use switchboard_event::{ProjectId, Protocol};

use crate::api::socket::Socket;
use crate::node::conn::ProtocolState;

/// What a protocol gives a connection.
pub(crate) struct Admission {
    pub(crate) protocol: Protocol,
    pub(crate) project: ProjectId,
    pub(crate) state: ProtocolState,
    /// The first frame, if the protocol has one.
    pub(crate) greeting: Option<Bytes>,
    pub(crate) on_connected: OnConnected,
}

/// Called when the hub knows the session. Its guard is dropped when the connection has ended.
pub(crate) type OnConnected = Box<dyn FnOnce(&Socket) -> Option<Guard> + Send>;

pub(crate) type Guard = Box<dyn Any + Send>;
