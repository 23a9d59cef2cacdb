//! Waiting for what a server says, and for its silence.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};
use tokio::sync::mpsc;

use crate::clock::now;

/// How long a server may need before the run counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing is said before nothing more will be: what a server gathers, it tells sooner.
const QUIET: Duration = Duration::from_millis(500);

/// Waits until a count has not grown for a time. Returns when it last did.
pub(crate) async fn quiet(count: impl Fn() -> u64) -> Result<Instant> {
    let since = now();
    let (mut last, mut grew) = (count(), since);
    while now() - grew < QUIET {
        ensure!(now() - since < PATIENCE, "the server does not stop talking");
        tokio::time::sleep(Duration::from_millis(10)).await;
        if count() > last {
            (last, grew) = (count(), now());
        }
    }
    Ok(grew)
}

/// Works unless a connection breaks: then that is the error, and not what came of it.
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
