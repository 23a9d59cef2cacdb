//! The client of a log line: the address to block, and the user.

use std::net::IpAddr;

use switchboard_event::SocketId;
use switchboard_hub::Session;
use switchboard_log::printable;

use crate::node::connection_state::ConnectionState;

/// A client that a log line is about. Its fields are computed only if the line is written.
#[derive(Clone, Copy)]
pub(crate) enum LoggedClient<'a> {
    Connected(&'a Session),
    /// The client is not connected yet; the socket is the one that it will be.
    Connecting(Option<SocketId>, Option<IpAddr>),
}

impl LoggedClient<'_> {
    /// The id of the socket.
    pub(crate) fn socket(self) -> Option<String> {
        match self {
            LoggedClient::Connected(session) => Some(session.id.to_string()),
            LoggedClient::Connecting(socket, _) => socket.map(|socket| socket.to_string()),
        }
    }

    /// The client's address, as trusted proxies report it.
    pub(crate) fn address(self) -> Option<String> {
        let ip = match self {
            LoggedClient::Connected(session) => ConnectionState::of(session).info.ip(),
            LoggedClient::Connecting(_, ip) => ip,
        };
        ip.map(|ip| ip.to_string())
    }

    /// The user of the socket.
    pub(crate) fn printable_user(self) -> Option<String> {
        match self {
            LoggedClient::Connected(session) => session.user().map(printable),
            LoggedClient::Connecting(..) => None,
        }
    }
}
