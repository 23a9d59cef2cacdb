//! Calls to backends over HTTP: webhooks, which report the actions of clients, and handlers, which answer their events.
//!
//! Every call is a signed `POST` to a configured URL. The client for these calls refuses private addresses unless they
//! are allowed, follows no redirect, and bounds times and sizes.

#![forbid(unsafe_code)]

mod address;
mod handlers;
mod outgoing;
mod signature;
mod webhooks;

pub use address::is_public;
pub use handlers::install_handlers;
pub use handlers::options::{CONNECT, EventPattern, HandlerError, HandlerOptions, OnFailure};
pub use outgoing::{CallError, OutgoingClient, OutgoingOptions, Reply, UrlError};
pub use signature::{SecretError, Signer};
pub use webhooks::Webhooks;
pub use webhooks::endpoint::{EndpointState, EndpointStatus};
pub use webhooks::event_kind::{EventKind, EventSet};
pub use webhooks::options::{EndpointOptions, RoomPattern, WebhookError, WebhookOptions};
pub use webhooks::test_call::send_test_report;
