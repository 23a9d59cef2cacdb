//! Connections to Redis: connecting, reconnecting, commands and scripts.
//!
//! A [`Connector`] makes connections to one server, to a Sentinel deployment or to a cluster, and has all of them
//! lead to the same server ([`server_identity`]). Each long-lived connection runs in [`supervise`], which reconnects
//! and reports whether it is up. Commands go through a [`RedisConnection`], scripts through [`script`].

mod backoff;
mod connector;
mod diagnosis;
mod losses;
mod reconnects;
mod redis_connection;
pub(crate) mod script;
mod server_identity;
mod supervise;
mod tls;

pub(crate) use backoff::Backoff;
pub(crate) use connector::{Connected, Connector, OnPush, ignore_pushes};
pub(crate) use losses::Losses;
pub(crate) use reconnects::Reconnects;
pub(crate) use redis_connection::{Batch, RedisConnection};
pub(crate) use server_identity::is_no_master;
pub(crate) use supervise::{Session, Up, supervise};
