//! The state of a Mesa client's connection, and the first frame that the client receives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use bytes::Bytes;
use switchboard_hub::Session;
use switchboard_wire::mesa::{Hello, write_hello};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::connection_state::ConnectionState;
use crate::protocols::mesa::options::MesaSettings;

/// The state of a Mesa client's connection.
pub(crate) struct ClientState {
    pub(crate) settings: Arc<MesaSettings>,
    /// A token of the client has been accepted since it connected.
    pub(crate) was_authenticated: AtomicBool,
    /// The client has answered the last heartbeat, or has not received one yet.
    pub(crate) has_answered: AtomicBool,
    /// Consecutive heartbeats without an answer.
    pub(crate) unanswered: AtomicU32,
}

impl ClientState {
    pub(crate) fn new(settings: Arc<MesaSettings>) -> Self {
        ClientState {
            settings,
            was_authenticated: AtomicBool::new(false),
            has_answered: AtomicBool::new(true),
            unanswered: AtomicU32::new(0),
        }
    }
}

/// The state of a session's Mesa client; `None` for other protocols.
pub(crate) fn client_of(session: &Session) -> Option<&ClientState> {
    ConnectionState::of(session).protocol()
}

/// The hello frame, with the server's intervals and rules.
pub(crate) fn greeting(settings: &MesaSettings) -> Bytes {
    let rules = [
        ("enforce_equal_versions", settings.enforces_version.is_some()),
        ("store_messages", settings.stores_messages),
        ("sends_user_object", settings.sends_user_object),
    ];
    let hello = Hello {
        heartbeat_ms: settings.heartbeat_interval.map(|interval| interval.as_millis() as u64),
        reconnect_ms: settings.reconnect_interval.map(|interval| interval.as_millis() as u64),
        authentication_ms: settings.authentication_timeout.as_millis() as u64,
        rules: rules.into_iter().filter(|(_, is_enabled)| *is_enabled).map(|(rule, _)| rule).collect(),
    };
    encode_with(OpCode::Text, 160, |out| write_hello(out, &hello))
}
