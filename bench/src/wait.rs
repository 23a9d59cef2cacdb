//! Waits for messages and for their end.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};
use tokio::sync::mpsc;

use crate::clock::now;

/// Longest wait before the run fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A pause after which no more messages are expected; longer than any interval at which a server batches.
const QUIET: Duration = Duration::from_millis(500);

/// Waits until a count no longer grows. Returns the time of its last growth.
pub(crate) async fn quiet(count: impl Fn() -> u64) -> Result<Instant> {
    let since = now();
    let (mut last, mut grew) = (count(), since);
    while now() - grew < QUIET {
        ensure!(now() - since < PATIENCE, "the server does not stop sending");
        tokio::time::sleep(Duration::from_millis(10)).await;
        if count() > last {
            (last, grew) = (count(), now());
        }
    }
    Ok(grew)
}

/// Runs `work`. If a connection fails meanwhile, its error is returned, not a later one.
pub(crate) async fn unless_broken<T>(
    broken: &mut mpsc::Receiver<Error>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        Some(fault) = broken.recv() => Err(fault),
        done = work => done,
    }
}
