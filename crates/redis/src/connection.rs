//! Connections to Redis, and scripts that run over them.

pub(crate) mod backoff;
mod redis_connection;
pub(crate) mod script;
mod tls;

pub(crate) use redis_connection::{Batch, Connected, Link, Source, ignore};
