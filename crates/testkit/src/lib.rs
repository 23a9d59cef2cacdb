//! Shared test support: servers, wire-level peers, and contract tests of the backplane traits.
//!
//! Peers use a WebSocket implementation other than the server's, or none, so two implementations check each
//! other.

pub mod contract;
pub mod generated;
pub mod koji;
pub mod peer;
pub mod raw;
pub mod redis;
pub mod redis_modes;
pub mod scratch;
pub mod server;
pub mod transcript;

pub use koji::KojiPeer;
pub use peer::Peer;
pub use raw::RawPeer;
pub use redis::RedisServer;
pub use redis_modes::{RedisCluster, RedisSentinels};
pub use scratch::Scratch;
pub use server::TestServer;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// The timeout of every wait in tests: 10 s.
pub const SOON: Duration = Duration::from_secs(10);

/// Awaits a future.
///
/// # Panics
///
/// If it takes longer than [`SOON`]; the message names the event, `what`.
pub async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, happens).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

/// Polls a condition until it is true.
///
/// # Panics
///
/// If that takes longer than [`SOON`]; the message names the condition, `what`.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A name of the type that the caller needs: a user's, a room's, a project's.
///
/// # Panics
///
/// If the text is empty or too long.
pub fn name<T>(text: &str) -> T
where
    T: for<'a> TryFrom<&'a str, Error: Debug>,
{
    T::try_from(text).unwrap_or_else(|error| panic!("{text:?} is not a name: {error:?}"))
}
