//! Everything that the nodes of a cluster share, as traits, with in-memory implementations.
//!
//! A [`Bus`] carries publications between nodes, a [`Store`] holds presence and seats, an [`Inbox`] holds
//! messages for offline users, a [`Portal`] passes client actions to worker processes, and [`Repeats`]
//! remembers requests that may arrive twice. A [`Backplane`] bundles them. One node needs only the
//! in-memory versions here; many nodes use an implementation such as the one on Redis.

mod backplane;
mod bus;
mod future;
mod idempotency;
mod inbox;
mod local_members;
mod memory;
mod report_sink;
mod seats;
mod store;

pub use backplane::Backplane;
pub use bus::{Bus, Content, Lost, Publication, Receiver};
pub use future::{Answer, Moment, StoreError};
pub use idempotency::{ANSWERED_FOR, Asked, Begun, CLAIMED_FOR, Claim, Digest, Repeats};
pub use inbox::{Inbox, InboxLimits, Kept, Opened, Waiting};
pub use local_members::LocalMembers;
pub use memory::{LocalBus, MemoryStore};
pub use report_sink::{AnswerTo, Deed, OnChange, Portal, PortalChange, Report, ReportId, Said};
pub use seats::{SeatRequest, Seated, Shard};
pub use store::{Page, Store};
