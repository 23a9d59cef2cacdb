//! A time in which the file cannot be used: the reason, and when the next attempt is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::FileError;

/// The first pause before another attempt. It doubles with each failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause. An attempt after a failed write reads the whole file.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the file must work until the pauses are short again, so that a disk with little room left, on which some
/// writes fail, causes few attempts and log lines.
const STABLE: Duration = Duration::from_secs(60);

/// The current outage, if there is one, and the failures before it.
#[derive(Default)]
pub(crate) struct Outages {
    current: Option<Outage>,
    /// Failures without a time of [`STABLE`] between them.
    failures: u32,
    ended_at: Option<Instant>,
}

struct Outage {
    error: Arc<FileError>,
    retry_at: Instant,
    /// Number of jobs that have failed.
    failed_jobs: usize,
}

impl Outages {
    pub(crate) fn is_current(&self) -> bool {
        self.current.is_some()
    }

    /// When the next attempt is due, in an outage.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.current.as_ref().map(|outage| outage.retry_at)
    }

    /// Counts jobs as failed, and returns the reason, if the next attempt is not due yet. `None` if they may run.
    pub(crate) fn refuse(&mut self, jobs: usize, now: Instant) -> Option<Arc<FileError>> {
        let outage = self.current.as_mut().filter(|outage| now < outage.retry_at)?;
        outage.failed_jobs += jobs;
        Some(outage.error.clone())
    }

    /// Begins or extends an outage. Returns true if its reason is new.
    pub(crate) fn fail(&mut self, error: Arc<FileError>, jobs: usize, now: Instant) -> bool {
        if self.ended_at.take().is_some_and(|ended_at| now.saturating_duration_since(ended_at) >= STABLE) {
            self.failures = 0;
        }
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures += 1;
        let last = self.current.take();
        let is_new = last.as_ref().is_none_or(|last| last.error.to_string() != error.to_string());
        let failed_jobs = last.map_or(0, |last| last.failed_jobs) + jobs;
        self.current = Some(Outage { error, retry_at: now + pause, failed_jobs });
        is_new
    }

    /// Ends the outage, if there is one. Returns how many jobs failed in it.
    pub(crate) fn end(&mut self, now: Instant) -> Option<usize> {
        let outage = self.current.take()?;
        self.ended_at = Some(now);
        Some(outage.failed_jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Arc<FileError> {
        Arc::new(FileError::Panic(text.into()))
    }

    /// The pause after another failure.
    fn pause(outages: &mut Outages, now: Instant) -> Duration {
        outages.fail(error("full"), 1, now);
        outages.retry_at().expect("an outage has begun") - now
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn pauses_double_up_to_a_bound_and_are_short_again_after_a_stable_minute() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let pauses: Vec<u64> = (0..11).map(|_| pause(&mut outages, start).as_millis() as u64).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(outages.end(start), Some(11));
        let soon = start + Duration::from_secs(59);
        assert_eq!(pause(&mut outages, soon), PAUSE_MAX, "it has not worked for long");
        outages.end(soon);
        assert_eq!(pause(&mut outages, soon + STABLE), PAUSE_MIN);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn jobs_are_refused_until_the_next_attempt_and_each_reason_is_reported_once() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        assert!(outages.refuse(1, start).is_none());
        assert!(outages.fail(error("full"), 1, start));
        assert!(!outages.fail(error("full"), 1, start), "the same reason");
        assert!(outages.fail(error("damaged"), 1, start), "another reason");
        let due = outages.retry_at().expect("an outage has begun");
        let refusal = outages.refuse(5, due - Duration::from_millis(1)).expect("it is not due yet");
        assert!(refusal.to_string().contains("damaged"));
        assert!(outages.refuse(5, due).is_none(), "the attempt is due");
        assert_eq!((outages.end(due), outages.end(due)), (Some(8), None));
    }
}
