//! Text frames to events and back: pure functions, one module per protocol.
//!
//! A decoder never trusts a frame: whatever a peer sends becomes an event, something that is
//! ignored, or a [`DecodeError`] that costs this frame and nothing else. Data is not parsed but
//! checked and sliced, so it is forwarded as the bytes it came in.

pub mod emit;
pub mod koji;
pub mod mesa;

mod depth;
mod error;
mod object;
mod text;

pub use depth::DEPTH_MAX;
pub use error::{DecodeError, with_causes};
