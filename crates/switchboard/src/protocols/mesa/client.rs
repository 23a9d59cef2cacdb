//! What is kept with a Mesa client, and what it is told first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use switchboard_wire::mesa::{Hello, write_hello};
use switchboard_ws::frame::{OpCode, encode_with};

use super::MesaSettings;

/// A client of this door.
pub(crate) struct Client {
    /// A token of it is being looked at: what it says next has to wait.
    pub(super) logging_in: AtomicBool,
    /// A token of it was accepted at some time.
    pub(super) known: AtomicBool,
    /// It answered the last heartbeat, or has not had one.
    pub(super) answered: AtomicBool,
    /// Heartbeats in a row that it did not answer.
    pub(super) attempts: AtomicU32,
}

impl Client {
    /// Whether a token of it is being looked at.
    pub(crate) fn is_logging_in(&self) -> bool {
        self.logging_in.load(Ordering::Relaxed)
    }
}

impl Default for Client {
    fn default() -> Self {
        Client {
            logging_in: AtomicBool::new(false),
            known: AtomicBool::new(false),
            answered: AtomicBool::new(true),
            attempts: AtomicU32::new(0),
        }
    }
}

/// The frame that a client gets before anything else.
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
