//! Codecs between text frames and events: pure functions, one module per protocol.
//!
//! A decoder accepts any bytes: the result is an event, an ignored frame, or a [`DecodeError`] that concerns
//! this frame alone. Event data is checked and sliced, not parsed, so it is forwarded as the received bytes.

pub mod emit;
pub mod koji;
pub mod mesa;

mod envelope;
mod error;
mod write;

pub use error::DecodeError;
