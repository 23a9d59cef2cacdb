//! Everything that the nodes of a cluster share, as traits, with in-memory implementations.
//!
//! A [`Bus`] carries publications between nodes, a [`Store`] holds presence and seats, an [`Inbox`] holds
//! messages for offline users, a [`ReportSink`] passes client actions to worker processes, and [`IdempotencyStore`]
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
pub use bus::{Bus, Content, Publication, PublishError, Receiver};
pub use future::{BoxFuture, StoreError, StoreFuture};
pub use idempotency::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, Digest, IdempotencyStore, RESPONSE_LIFETIME, RequestKey,
};
pub use inbox::{Inbox, InboxLimits, InboxPage, Stored, StoredMessage};
pub use local_members::LocalMembers;
pub use memory::{LocalBus, MemoryStore};
pub use report_sink::{
    ClientAction, ClientMessage, ReplyAddress, Report, ReportId, ReportSink, ReportSinkChange,
    ReportSinkListener,
};
pub use seats::{SeatRequest, Seated, Shard};
pub use store::{Page, Store};
