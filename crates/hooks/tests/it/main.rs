//! Webhooks and handlers with HTTP servers that fail in every way, real clients and real Redis.

mod backend;
mod client;
mod file;
mod handlers;
mod local;
mod redis;
