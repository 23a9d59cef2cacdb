//! What a running server and a connection are.

pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod conn;
pub(crate) mod core;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod info;
pub(crate) mod limits;
pub(crate) mod message;
pub(crate) mod meters;
pub(crate) mod remote;
pub(crate) mod reports;
pub(crate) mod tasks;
