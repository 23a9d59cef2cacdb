//! The wire protocols.

pub(crate) mod encode;
pub(crate) mod koji;
pub(crate) mod mesa;
