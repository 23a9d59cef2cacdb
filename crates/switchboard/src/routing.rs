//! Routing: finds the handler of an event, runs it, and turns its outcome into a reply.

pub(crate) mod argument;
pub(crate) mod debug;
pub(crate) mod extract;
pub(crate) mod handler;
pub(crate) mod hooks;
pub(crate) mod middleware;
pub(crate) mod plugin;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod router;
pub(crate) mod server;
