//! The shared words of Switchboard: ids, names, events, audiences.
//!
//! Plain data that every other crate speaks in. Nothing here waits, locks for long or knows a
//! socket, so the codecs and the hub that build on it run anywhere, `wasm32` included.

mod binary;
mod event;
mod id;
mod name;
mod number;
mod parcel;
mod payload;
mod target;
mod time;

pub use binary::EventDecodeError;
pub use event::{DeliveryClass, Event, Protocol};
pub use id::{NodeId, SocketId};
pub use name::{NAME_BYTES_MAX, Name, NameError, ProjectId, RoomName, ShardName, TagName, UserId};
pub use number::MessageNumber;
pub use parcel::Parcel;
pub use payload::{Payload, PayloadError};
pub use target::{Audience, AudienceError, IntoAudience, Target};
pub use time::unix_ms;
