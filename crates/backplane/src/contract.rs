//! Contract tests: every implementation of a shared service passes the same ones.
//!
//! A test connects sockets to one or two nodes through the trait [`TestNode`], so it covers the service and its
//! use by a hub without depending on the hub. An implementation calls each function from a test of its own.

pub mod bus;
pub mod history;
pub mod history_model;
pub mod idempotency;
pub mod inbox;
pub mod inbox_model;
pub mod rates;
pub mod revocations;
pub mod seats;
pub mod seats_model;
pub mod store;

mod node;
mod support;

pub use node::{PublicationListener, TestNode, TestSocket};
pub use support::{SOON, name, soon, until};
