//! Dry runs: whether a message would arrive, and why not. Nothing is sent.
//!
//! Every node describes its sockets of the audience; the asked node adds rights, stores and its connection to the others.

pub(crate) mod collect;
pub(crate) mod look;
mod sentences;
pub(crate) mod view;
