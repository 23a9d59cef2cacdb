//! Who is here and who hears what, on one Switchboard node.
//!
//! A [`Hub`] keeps a [`Session`] per socket and an index of who belongs to what: rooms, tags, users
//! and the project's everyone are all the same kind of named set. A send walks the sets its
//! [`Audience`](switchboard_event::Audience) names and puts one shared frame into each member's
//! [`Outbox`]. There is no task, no clock and no socket here: bytes leave through a
//! [`Transport`], and whoever made the hub flushes the outboxes it is handed.

pub mod bus;
pub mod inbox;
pub mod outbox;
pub mod portal;
pub mod repeats;
pub mod store;

mod backplane;
mod group;
mod hub;
mod index;
mod seats;
mod session;

pub use backplane::Backplane;
pub use bus::{Bus, LocalBus};
pub use hub::{Delivered, Encode, Hub, HubConfig, Listener, Newcomer, Notice, Schedule, Scope, Tally};
pub use inbox::{Inbox, InboxLimits};
pub use index::{Index, Project};
pub use outbox::{Flushed, Outbox, Transport};
pub use portal::{Deed, Portal, Report, Said};
pub use repeats::Repeats;
pub use seats::{SeatWish, Seated, Shard};
pub use session::{JoinError, Session};
pub use store::{MemoryStore, Store};
