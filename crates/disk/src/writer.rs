//! The writer thread: it puts jobs into transactions, removes expired messages, and opens the file again after a
//! failure.

use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use switchboard_backplane::{InboxLimits, Stored};
use switchboard_log::{limited, printable_error};
use tokio::sync::mpsc;

use crate::apply::Apply;
use crate::completion::{Completions, Written};
use crate::current_file::CurrentFile;
use crate::error::FileError;
use crate::file::{InboxFile, InvalidKey};
use crate::index::Index;
use crate::job::Job;
use crate::job_queue::JobQueue;
use crate::meters::{Counts, Meters};
use crate::outage::Outages;
use crate::retained_acks::RetainedAcks;
use crate::shared::Shared;

/// The longest interval between two expiries. It is shorter for a short age limit.
const EXPIRE_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// The shortest interval between two expiries.
const EXPIRE_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How long after the last write the file is sealed.
const SEAL_DELAY: Duration = Duration::from_secs(1);

/// The smallest and the largest number of bytes that an attempt writes to find out whether the file works again.
const PROBE_BYTES: (usize, usize) = (4 * 1024, 1024 * 1024);

pub(crate) struct Writer {
    file: Arc<CurrentFile>,
    shared: Arc<Shared>,
    completions: Completions,
    limits: InboxLimits,
    index: Index,
    /// The index matches the file.
    index_is_valid: bool,
    /// Entries of the file that belong to no user.
    invalid: Vec<InvalidKey>,
    outages: Outages,
    /// As many bytes as the failed jobs of the current outage would have written at once.
    probe_bytes: usize,
    retained: RetainedAcks,
    expire_at: Instant,
    expire_interval: Duration,
    /// When to seal the file. `None` if nothing was written since.
    seal_at: Option<Instant>,
    meters: Meters,
}

/// The time by two clocks.
#[derive(Clone, Copy)]
struct Now {
    /// Milliseconds since 1970, the time of message numbers. This clock may be set forward and back.
    ms: u64,
    /// The monotonic clock.
    at: Instant,
}

impl Writer {
    pub(crate) fn new(
        file: Arc<CurrentFile>,
        shared: Arc<Shared>,
        completions: Completions,
        limits: InboxLimits,
    ) -> Self {
        let expire_interval = EXPIRE_INTERVAL_MAX.min(Duration::from_millis(limits.age_max_ms) / 2);
        let meters = Meters::new();
        meters.set_file_up(true);
        Writer {
            file,
            shared,
            completions,
            limits,
            index: Index::default(),
            index_is_valid: false,
            invalid: Vec::new(),
            outages: Outages::default(),
            probe_bytes: 0,
            retained: RetainedAcks::new(),
            expire_at: Now::read().at,
            expire_interval: expire_interval.max(EXPIRE_INTERVAL_MIN),
            seal_at: None,
            meters,
        }
    }

    /// Writes until the inbox is closed.
    pub(crate) fn run(mut self, jobs: mpsc::Receiver<Job>) {
        let mut queue = JobQueue::new(jobs);
        loop {
            let written = match queue.receive(self.wake_at(), || Now::read().at) {
                Poll::Ready(jobs) if jobs.is_empty() => break,
                Poll::Ready(jobs) => Some(self.write_or_refuse(jobs, Now::read())),
                Poll::Pending => self.write_idle(Now::read()),
            };
            // Fails if the runtime has ended, and the callers with it.
            written.map(|written| self.completions.send(written));
        }
    }

    /// When something is to be done although no jobs arrive.
    fn wake_at(&self) -> Instant {
        let due = self.seal_at.map_or(self.expire_at, |seal_at| seal_at.min(self.expire_at));
        self.outages.retry_at().unwrap_or(due)
    }

    /// While no jobs arrive: tries the file in an outage, removes expired messages, and seals the file. Outside of an
    /// outage a transaction is written only if messages have expired, or if the index is not valid, as at the start.
    fn write_idle(&mut self, now: Now) -> Option<Written> {
        let is_expiry_due = now.at >= self.expire_at;
        let is_needed = self.outages.is_current()
            || !self.index_is_valid
            || (is_expiry_due && self.index.has_older(self.expired_before(now)));
        if is_needed {
            return Some(self.write(Vec::new(), now));
        }
        if is_expiry_due {
            self.expire_at = now.at + self.expire_interval;
        }
        if self.seal_at.take_if(|seal_at| *seal_at <= now.at).is_some()
            && let Err(error) = self.file.with(InboxFile::seal)
        {
            self.begin_outage(Arc::new(error), &[]);
            self.show_state();
        }
        None
    }

    /// Writes jobs, or lets them fail while the next attempt in an outage is not due.
    fn write_or_refuse(&mut self, jobs: Vec<Job>, now: Now) -> Written {
        match self.outages.refuse(jobs.len(), now.at) {
            None => self.write(jobs, now),
            Some(error) => {
                self.keep_for_later(&jobs);
                Written { jobs, outcome: Err(error), ends_outage: false }
            }
        }
    }

    /// Writes jobs in one transaction.
    fn write(&mut self, jobs: Vec<Job>, now: Now) -> Written {
        let (outcome, ends_outage) = match self.try_write(&jobs, now) {
            Ok(results) => {
                self.index_is_valid = true;
                (Ok(results), self.end_outage(now))
            }
            Err(error) => {
                self.begin_outage(error.clone(), &jobs);
                (Err(error), false)
            }
        };
        self.seal_at = self.index_is_valid.then_some(now.at + SEAL_DELAY);
        self.show_state();
        Written { jobs, outcome, ends_outage }
    }

    fn show_state(&self) {
        let is_up = !self.outages.is_current();
        self.shared.set_is_up(is_up && !self.completions.is_closed());
        self.meters.set_file_up(is_up);
        self.meters.set_messages(self.index.count());
    }

    fn try_write(&mut self, jobs: &[Job], now: Now) -> Result<Vec<Option<Stored>>, Arc<FileError>> {
        if let Some(error) = self.failed_read(jobs) {
            return Err(error);
        }
        if !self.file.is_open() {
            self.file.reopen()?;
        }
        self.load_index()?;
        let (is_trial, is_expiry_due) = (self.outages.is_current(), now.at >= self.expire_at);
        if is_trial {
            let bytes = self.probe_bytes;
            self.file.with(|file| file.write(|transaction| transaction.write_probe(bytes)))?;
        }
        let (before_ms, mut results, mut counts) =
            (self.expired_before(now), Vec::with_capacity(jobs.len()), Counts::default());
        let Writer { file, index, limits, shared, invalid, retained, .. } = self;
        file.with(|file| {
            file.write(|transaction| {
                if is_trial {
                    transaction.remove_probe()?;
                }
                let mut apply = Apply { transaction, index, limits, shared, counts: Counts::default() };
                apply.set_aside_invalid(invalid)?;
                if is_expiry_due {
                    apply.expire(before_ms)?;
                }
                for (project, user, numbers) in retained.iter() {
                    apply.acknowledge(project, user, numbers)?;
                }
                for job in jobs {
                    results.push(apply.job(job, now.ms)?);
                }
                counts = apply.counts;
                Ok(())
            })
        })?;
        self.meters.add(&counts);
        self.invalid.clear();
        self.retained.clear();
        if is_expiry_due {
            self.expire_at = now.at + self.expire_interval;
        }
        Ok(results)
    }

    /// The error of a read, if the file has not been opened again since.
    fn failed_read(&self, jobs: &[Job]) -> Option<Arc<FileError>> {
        jobs.iter().find_map(|job| match job {
            Job::ReadFailed { error, generation } if *generation == self.file.generation() => {
                Some(error.clone())
            }
            _ => None,
        })
    }

    /// Loads the index from the file if it is not valid.
    fn load_index(&mut self) -> Result<(), FileError> {
        if self.index_is_valid {
            return Ok(());
        }
        self.index.reset();
        let Writer { file, index, .. } = self;
        self.invalid = file.with(|file| {
            file.for_each(|project, user, number, len| index.load(project, user, number, len))
        })?;
        if !self.invalid.is_empty() {
            limited!(
                ERROR,
                count = self.invalid.len(),
                "stored messages belong to no user; they are set aside"
            );
        }
        Ok(())
    }

    /// Records a failure, and opens the file again, so that at least reads work until the next attempt.
    fn begin_outage(&mut self, error: Arc<FileError>, jobs: &[Job]) {
        self.index_is_valid = false;
        let path = self.file.path();
        if !self.outages.is_current() {
            self.probe_bytes = 0;
        }
        self.probe_bytes = self.probe_bytes.max(bytes_of(jobs)).clamp(PROBE_BYTES.0, PROBE_BYTES.1);
        self.keep_for_later(jobs);
        if self.file.is_open()
            && let Err(error) = self.file.reopen()
        {
            limited!(DEBUG, path, error = printable_error(&error), "inbox file cannot be opened again");
        }
        if self.outages.fail(error.clone(), jobs.len(), Now::read().at) {
            limited!(
                ERROR,
                path,
                error = printable_error(&*error),
                "inbox file failed; storing fails until a repeated attempt succeeds"
            );
        }
    }

    /// Ends the outage, if there is one. Returns whether there was.
    fn end_outage(&mut self, now: Now) -> bool {
        let Some(failed) = self.outages.end(now.at) else { return false };
        limited!(INFO, path = self.file.path(), failed, "inbox file works again");
        true
    }

    /// Keeps the acknowledgements of failed jobs. The callers of the other jobs get an error.
    fn keep_for_later(&mut self, jobs: &[Job]) {
        for job in jobs {
            if let Job::Acknowledge { project, user, numbers } = job {
                self.retained.add((project.clone(), user.clone(), numbers.clone()));
            }
        }
    }

    /// The time before which messages have expired, in milliseconds since 1970.
    fn expired_before(&self, now: Now) -> u64 {
        now.ms.saturating_sub(self.limits.age_max_ms)
    }
}

/// Bytes of the messages that the jobs store.
fn bytes_of(jobs: &[Job]) -> usize {
    let bytes = |job: &Job| match job {
        Job::Put { users, event, .. } => users.len() * event.data.as_bytes().len(),
        _ => 0,
    };
    jobs.iter().map(bytes).sum()
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.set_is_up(false);
        self.shared.close();
        if thread::panicking() {
            tracing::error!("inbox writer panicked; the inbox is unavailable until the process restarts");
        }
    }
}

impl Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the writer's thread, which passes it to everything it calls"
    )]
    fn read() -> Self {
        Now { ms: now_ms(), at: Instant::now() }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    switchboard_event::unix_ms(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Event, Name, Payload, ProjectId, UserId};
    use tokio::sync::oneshot;

    use super::*;
    use crate::completion;

    const AGE_MS: u64 = 10_000;

    fn writer() -> Writer {
        let (file, shared) = (Arc::new(CurrentFile::in_memory()), Arc::<Shared>::default());
        let limits = InboxLimits { age_max_ms: AGE_MS, ..InboxLimits::default() };
        Writer::new(file, shared.clone(), completion::start(shared), limits)
    }

    impl Writer {
        fn put_at(&mut self, now: Now) {
            let (project, users) = (ProjectId::new("p").unwrap(), vec![UserId::new("7").unwrap()]);
            let name = Name::new("N").unwrap();
            let event = Event { name, data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
            let done = oneshot::channel().0;
            self.write(vec![Job::Put { project, users, event, done }], now).outcome.unwrap();
        }

        /// The number of messages in the file.
        fn count_in_file(&self) -> usize {
            let mut count = 0;
            self.file.with(|file| file.for_each(|_, _, _, _| count += 1)).unwrap();
            count
        }
    }

    /// `ms` later by the monotonic clock, while the other clock was also set ahead.
    fn later(start: Now, ms: u64, set_ahead_ms: u64) -> Now {
        Now { ms: start.ms + ms + set_ahead_ms, at: start.at + Duration::from_millis(ms) }
    }

    #[tokio::test]
    async fn a_clock_that_was_briefly_ahead_does_not_delay_later_expiry() {
        let (mut writer, start) = (writer(), Now::read());
        writer.put_at(start);
        writer.write_idle(later(start, 6_000, 3_600_000));
        assert_eq!(writer.count_in_file(), 0, "expired by the clock that is an hour ahead");
        writer.put_at(later(start, 7_000, 0));
        writer.write_idle(later(start, 16_000, 0));
        assert_eq!(writer.count_in_file(), 1);
        writer.write_idle(later(start, 22_000, 0));
        assert_eq!(writer.count_in_file(), 0);
    }

    #[tokio::test]
    async fn messages_expire_at_the_start_and_after_a_failed_write() {
        let (mut writer, start) = (writer(), Now::read());
        writer.put_at(start);
        writer.index = Index::default();
        writer.index_is_valid = false;
        writer.write_idle(later(start, AGE_MS, 0));
        assert_eq!((writer.count_in_file(), writer.index.count()), (1, 1), "loaded, and not too old");
        writer.index_is_valid = false;
        writer.write_idle(later(start, 3 * AGE_MS, 0));
        assert_eq!(writer.count_in_file(), 0);
        assert!(writer.shared.is_up());
    }
}
