//! From listener to handler and back: the only part of the crate that touches bytes.
//!
//! `serve` accepts; the [`Door`](crate::Door) turns a handshake into a `connection`, which reads,
//! decodes and starts handlers; what they send leaves through the `flusher` or, at the end of the
//! connection's own turn, inline.

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod flusher;
pub(crate) mod heartbeat;
pub(crate) mod throttle;
pub(crate) mod transport;
pub(crate) mod upgrade;
