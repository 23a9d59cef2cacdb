//! From the listener to the handler and back: the only part of the crate that touches bytes.
//!
//! `accept` takes connections; `upgrade` turns a handshake into a `connection`, which reads, decodes
//! and starts handlers. Their messages leave through the `flusher` or, at the end of the connection's
//! own turn, inline.

pub(crate) mod accept;
mod app;
pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod flusher;
pub(crate) mod heartbeat;
pub(crate) mod http;
pub(crate) mod options;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod throttle;
pub(crate) mod transport;
pub(crate) mod upgrade;
