//! Remembers the last loss of a connection, so that a node whose connections come and go is seen as degraded.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How long a loss is reported: longer than the usual interval of health checks.
const REPORTED_FOR: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(crate) struct Losses(Mutex<Option<Instant>>);

impl Losses {
    /// Records that something was lost now.
    pub(crate) fn record(&self) {
        *self.0.lock().expect("no code that holds the time panics") = Some(Instant::now());
    }

    /// Returns true if the last loss was within the last 15 s.
    pub(crate) fn is_recent(&self) -> bool {
        let last = *self.0.lock().expect("no code that holds the time panics");
        last.is_some_and(|last| last.elapsed() < REPORTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_reported_for_a_while() {
        let losses = Losses::default();
        assert!(!losses.is_recent());
        losses.record();
        assert!(losses.is_recent());
        tokio::time::advance(REPORTED_FOR).await;
        assert!(!losses.is_recent());
    }
}
