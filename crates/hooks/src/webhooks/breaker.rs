//! The breaker of an endpoint: after consecutive failures one sender at a time tries it, and the others wait.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Consecutive failures that open the breaker.
pub(crate) const FAILURES_MAX: u32 = 5;

#[derive(Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
    /// Held by the sender that tries the endpoint while the breaker is open, also during its pauses.
    turn: Mutex<()>,
}

/// A sender may call the endpoint while it holds this.
pub(crate) struct Turn<'a>(Option<MutexGuard<'a, ()>>);

impl Turn<'_> {
    fn is_exclusive(&self) -> bool {
        self.0.is_some()
    }
}

impl Breaker {
    /// Waits until a sender may call the endpoint. `earlier` is its turn for the previous attempt.
    pub(crate) async fn turn<'a>(&'a self, earlier: Option<Turn<'a>>) -> Turn<'a> {
        match earlier.filter(Turn::is_exclusive) {
            Some(turn) => turn,
            None if self.is_open() => {
                let turn = self.turn.lock().await;
                Turn(self.is_open().then_some(turn))
            }
            None => Turn(None),
        }
    }

    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    fn is_open(&self) -> bool {
        self.failures() >= FAILURES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn while_it_is_open_one_sender_at_a_time_has_a_turn() {
        let breaker = Breaker::default();
        let one = breaker.turn(None).await;
        let other = breaker.turn(None).await;
        assert!(!one.is_exclusive() && !other.is_exclusive());
        (0..FAILURES_MAX).for_each(|_| breaker.failed());
        let one = breaker.turn(Some(one)).await;
        assert!(one.is_exclusive());
        let waiting = breaker.turn(Some(other));
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        let one = breaker.turn(Some(one)).await;
        breaker.succeeded();
        drop(one);
        assert!(!waiting.await.is_exclusive(), "it is closed again");
    }
}
