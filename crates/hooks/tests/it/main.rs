//! Webhooks against HTTP servers that fail in every way, with real clients and real Redis.

mod backend;
mod client;
mod local;
mod redis;
