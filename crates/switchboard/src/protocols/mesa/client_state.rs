//! What the protocol keeps with a connection, and its first frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use bytes::Bytes;
use switchboard_hub::Session;
use switchboard_wire::mesa::{Hello, write_hello};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::conn::Conn;
use crate::protocols::mesa::options::MesaSettings;

/// The protocol's state of a connection.
pub(crate) struct ClientState {
    pub(crate) settings: Arc<MesaSettings>,
    /// One of its tokens was accepted at some time.
    pub(crate) was_accepted: AtomicBool,
    /// It answered the last heartbeat, or has not had one.
    pub(crate) has_answered: AtomicBool,
    /// Consecutive heartbeats without an answer.
    pub(crate) attempts: AtomicU32,
}

impl ClientState {
    pub(crate) fn new(settings: Arc<MesaSettings>) -> Self {
        ClientState {
            settings,
            was_accepted: AtomicBool::new(false),
            has_answered: AtomicBool::new(true),
            attempts: AtomicU32::new(0),
        }
    }
}

/// The Mesa client of a session; `None` for other protocols.
pub(crate) fn client_of(session: &Session) -> Option<&ClientState> {
    Conn::of(session).protocol()
}

/// The first frame of a client: what the server expects of it.
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
        rules: rules.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule).collect(),
    };
    encode_with(OpCode::Text, 160, |out| write_hello(out, &hello))
}
