//! The handles that applications use: `App`, `Socket` and `Emitter`.

pub(crate) mod app;
pub(crate) mod emitter;
mod history;
mod node_queries;
pub(crate) mod presence;
pub(crate) mod remote;
pub(crate) mod request_all;
pub(crate) mod revoke;
pub(crate) mod setup;
pub(crate) mod socket;
mod socket_details;
mod trace;
