//! The server side of RFC 6455, the WebSocket protocol, without I/O.
//!
//! [`handshake`] validates the opening request, [`Decoder`] decodes the frames of a client, and [`frame`] and
//! [`close`] encode complete frames. Frames of a server are not masked, so the same bytes can be sent to any
//! number of clients.

pub mod close;
pub mod frame;
pub mod handshake;

mod decode;
mod error;
mod utf8;

pub use close::CloseCode;
pub use decode::{Decoder, Limits, Message, MessageBytes};
pub use error::ProtocolError;
