//! The services that the nodes of a cluster share, as traits, with in-memory implementations.
//!
//! A [`Bus`] carries publications between nodes, a [`Store`] holds presence and seats, an [`Inbox`] stores
//! messages for users, a [`History`] keeps the recent messages of rooms, a [`ReportSink`] passes client actions to
//! workers, an [`IdempotencyStore`] remembers requests, a [`RevocationStore`] remembers revoked tokens, and a
//! [`RateStore`] adds up what nodes count for rate rules. A [`Backplane`] bundles the services of one backend. The
//! implementations here serve a single
//! node, or several nodes in one process. Every implementation passes the tests of the module `contract`, which
//! the feature of that name adds.

mod backplane;
mod bus;
#[cfg(feature = "contract")]
pub mod contract;
mod future;
mod history;
mod idempotency;
mod inbox;
mod local_members;
mod memory;
mod rates;
mod report_sink;
mod revocations;
mod room_rules;
mod seats;
mod sessions;
mod store;

pub use backplane::Backplane;
pub use bus::{Bus, Content, IfUnreached, OnCounted, Publication, PublishError, Receiver};
pub use future::{BackplaneError, BackplaneFuture, BoxFuture};
pub use history::{
    AppendOutcome, History, HistoryLimits, HistoryPage, HistoryRange, HistoryUsage, RecordedMessage,
    RoomMessage,
};
pub use idempotency::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, Digest, IdempotencyStore, RESPONSE_LIFETIME, RequestKey,
};
pub use inbox::{Inbox, InboxLimits, InboxPage, Stored, StoredMessage};
pub use local_members::LocalMembers;
pub use memory::{
    LocalBus, MemoryHistory, MemoryHistoryLimits, MemoryIdempotencyStore, MemoryRateStore, MemoryStore,
};
pub use rates::{RateStore, Spending};
pub use report_sink::{
    ClientAction, ClientMessage, ReplyAddress, Report, ReportId, ReportSink, WorkerChange, WorkerListener,
};
pub use revocations::{REVOKED_UNTIL_MS_MAX, Revocation, RevocationStore, RevokedTokens};
pub use room_rules::{HistoryRule, HistoryRules, OverflowRules, RoomPatternError, RoomRule, RoomRules};
pub use seats::{SeatRequest, Seated, Shard};
pub use sessions::{KeepSessions, LocalSessions, StoredSession, TakenEntries};
pub use store::{NodeLease, Page, Store};
