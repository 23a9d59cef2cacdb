//! Names and waits in tests.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use switchboard_event::{Event, Payload};

/// The timeout of every wait in tests: 10 s.
pub const SOON: Duration = Duration::from_secs(10);

/// Awaits a future.
///
/// # Panics
///
/// If it takes longer than [`SOON`]; the message contains `event`.
pub async fn soon<T>(event: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{event}: not within {SOON:?}"))
}

/// Polls a condition until it is true.
///
/// # Panics
///
/// If that takes longer than [`SOON`]; the message contains `event`.
pub async fn until(event: &str, mut condition: impl AsyncFnMut() -> bool) {
    soon(event, async {
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

/// An event without data.
pub(super) fn event(text: &str) -> Event {
    Event { name: name(text), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None }
}
