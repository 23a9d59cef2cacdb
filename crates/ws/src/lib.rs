//! RFC 6455, the WebSocket protocol, for servers and without I/O.
//!
//! [`handshake`] answers the opening request, [`Decoder`] turns what a client sends into messages,
//! [`frame`] and [`close`] make complete frames to send. A server's frames are not masked, so the
//! bytes of one can be sent to any number of clients.

pub mod close;
pub mod frame;
pub mod handshake;

mod decode;
mod error;
mod utf8;

pub use close::CloseCode;
pub use decode::{Decoder, Item, Limits, Payload};
pub use error::ProtocolError;
