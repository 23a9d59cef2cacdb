//! Sessions, memberships and outboxes of one Switchboard node.
//!
//! A [`Hub`] holds a [`Session`] per socket and an [`Index`] of member sets: rooms, tags, users, and everyone
//! of a project. A send resolves its [`Audience`](switchboard_event::Audience) to sessions and appends one
//! shared frame to each [`Outbox`]. The hub has no tasks, clock or sockets: bytes leave through a
//! [`Transport`], and a [`FlushScheduler`] decides when outboxes are flushed.

mod delivery;
mod hub;
mod hub_event;
mod index;
mod member_set;
pub mod outbox;
mod outbox_totals;
mod project;
mod resolve;
mod room_cursors;
mod room_history;
mod session;
mod trace;

pub use delivery::{Delivered, Encode, FlushScheduler, HubStats};
pub use hub::{
    Filled, Gap, Hub, HubConfig, HubLimits, MembershipChange, MembershipListener, NewSession, Scope,
};
pub use hub_event::{HubEvent, Listener, Stage};
pub use index::Index;
pub use outbox::{
    Backlog, DroppedFrames, Flushed, Lag, Loss, Outbox, QueueEnd, QueueWatcher, Slot, Transport,
};
pub use outbox_totals::OutboxTotals;
pub use project::Project;
pub use room_history::RoomHistory;
pub use session::{JoinError, Session};
pub use trace::{ReceiverOutcome, TracePoint, Tracer};
