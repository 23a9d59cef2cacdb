//! Who is here and who hears what, on one Switchboard node.
//!
//! A [`Hub`] keeps a [`Session`] per socket and an index of who belongs to what: rooms, tags, users
//! and the project's everyone are all the same kind of named set. A send walks the sets its
//! [`Audience`](switchboard_event::Audience) names and puts one shared frame into each member's
//! [`Outbox`]. There is no task, no clock and no socket here: bytes leave through a
//! [`Transport`], and whoever made the hub flushes the outboxes it is handed.

mod hub;
mod index;
mod member_set;
pub mod outbox;
mod session;

pub use hub::{Delivered, Encode, Hub, HubConfig, HubEvent, HubStats, Listener, NewSession, Schedule, Scope};
pub use index::{Index, Project};
pub use outbox::{Flushed, Outbox, Transport};
pub use session::{JoinError, Session};
