//! Shared test support: servers, wire-level peers, and nodes for the contract tests of the backplane.
//!
//! Peers use a WebSocket implementation other than the server's, or none, so two implementations check each
//! other.

pub mod forwarder;
pub mod generated;
mod json;
pub mod koji;
pub mod node;
pub mod peer;
pub mod raw;
pub mod redis;
pub mod redis_modes;
pub mod scratch;
pub mod server;
pub mod tls;
pub mod transcript;

pub use forwarder::Forwarder;
pub use json::read_json;
pub use koji::KojiPeer;
pub use node::{Member, Node};
pub use peer::Peer;
pub use raw::RawPeer;
pub use redis::RedisServer;
pub use redis_modes::{RedisCluster, RedisSentinels};
pub use scratch::Scratch;
pub use server::TestServer;
pub use switchboard_backplane::contract::{SOON, name, soon, until};
pub use tls::{TestCertificate, TlsProxy};
