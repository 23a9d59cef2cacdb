//! The writer thread: it puts jobs into transactions and removes expired messages.

use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_backplane::InboxLimits;
use switchboard_backplane::Stored;
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use switchboard_log::{limited, printable_error};
use tokio::sync::mpsc;

use crate::completion::{Completions, Written};
use crate::file::{InboxFile, Transaction};
use crate::index::{Admission, Index};
use crate::job::Job;
use crate::job_queue::JobQueue;
use crate::shared::Shared;

/// The longest interval between two expiries. It is shorter for a short age limit.
const EXPIRE_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// The shortest interval between two expiries.
const EXPIRE_INTERVAL_MIN: Duration = Duration::from_millis(100);

pub(crate) struct Writer {
    file: Arc<InboxFile>,
    shared: Arc<Shared>,
    completions: Completions,
    limits: InboxLimits,
    index: Index,
    /// The index matches the file.
    index_is_valid: bool,
    expire_at: Instant,
    expire_interval: Duration,
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

struct Meters {
    stored: Counter,
    evicted: Counter,
    rejected: Counter,
    expired: Counter,
    acknowledged: Counter,
    messages: Gauge,
}

impl Writer {
    pub(crate) fn new(
        file: Arc<InboxFile>,
        shared: Arc<Shared>,
        completions: Completions,
        limits: InboxLimits,
    ) -> Self {
        let meters = Meters {
            stored: counter!("switchboard_inbox_stored_total"),
            evicted: counter!("switchboard_inbox_evicted_total"),
            rejected: counter!("switchboard_undelivered_total", "reason" => "inbox_full"),
            expired: counter!("switchboard_inbox_expired_total"),
            acknowledged: counter!("switchboard_inbox_acknowledged_total"),
            messages: gauge!("switchboard_inbox_messages"),
        };
        let expire_interval = EXPIRE_INTERVAL_MAX.min(Duration::from_millis(limits.age_max_ms) / 2);
        Writer {
            file,
            shared,
            completions,
            limits,
            index: Index::default(),
            index_is_valid: false,
            expire_at: Now::read().at,
            expire_interval: expire_interval.max(EXPIRE_INTERVAL_MIN),
            meters,
        }
    }

    /// Writes until the inbox is closed.
    pub(crate) fn run(mut self, jobs: mpsc::Receiver<Job>) {
        let mut queue = JobQueue::new(jobs);
        loop {
            match queue.receive(self.expire_at, || Now::read().at) {
                Poll::Ready(jobs) if jobs.is_empty() => break,
                Poll::Ready(jobs) => {
                    let written = self.write(jobs, Now::read());
                    // Fails if the runtime has ended, and the callers with it.
                    let _ = self.completions.send(written);
                }
                Poll::Pending => self.expire_idle(Now::read()),
            }
        }
    }

    /// Removes expired messages while no jobs arrive. The file is only written if there are any, or if the index is
    /// not valid: at the start, and after a failed write.
    fn expire_idle(&mut self, now: Now) {
        if !self.index_is_valid || self.index.has_older(self.expired_before(now)) {
            self.write(Vec::new(), now);
        }
        self.expire_at = now.at + self.expire_interval;
    }

    /// Writes jobs in one transaction.
    fn write(&mut self, jobs: Vec<Job>, now: Now) -> Written {
        let file = self.file.clone();
        let mut results = Vec::with_capacity(jobs.len());
        let written = self.load_index().and_then(|()| {
            file.write(|transaction| {
                self.expire_if_due(transaction, now)?;
                for job in &jobs {
                    results.push(self.apply(job, transaction, now)?);
                }
                Ok(())
            })
        });
        self.index_is_valid = written.is_ok();
        self.shared.set_up(self.index_is_valid && !self.completions.is_closed());
        self.meters.messages.set(self.index.count() as f64);
        if let Err(error) = &written {
            limited!(
                ERROR,
                error = printable_error(error),
                jobs = jobs.len(),
                "could not write the inbox file; these jobs fail"
            );
        }
        Written { jobs, outcome: written.map(|()| results).map_err(Arc::new) }
    }

    /// Loads the index from the file if it is not valid.
    fn load_index(&mut self) -> Result<(), redb::Error> {
        if !self.index_is_valid {
            self.index = Index::default();
            let Writer { file, index, .. } = self;
            file.for_each(|project, user, number, len| index.load(project, user, number, len))?;
        }
        Ok(())
    }

    fn expire_if_due(&mut self, transaction: &mut Transaction<'_>, now: Now) -> Result<(), redb::Error> {
        if now.at < self.expire_at {
            return Ok(());
        }
        self.expire_at = now.at + self.expire_interval;
        for (project, user, numbers) in self.index.expire(self.expired_before(now)) {
            transaction.remove(&project, &user, &numbers)?;
            self.meters.expired.increment(numbers.len() as u64);
            self.release_if_empty(&project, &user);
        }
        Ok(())
    }

    /// The time before which messages have expired, in milliseconds since 1970.
    fn expired_before(&self, now: Now) -> u64 {
        now.ms.saturating_sub(self.limits.age_max_ms)
    }

    /// Adds a job to the transaction. Returns the result of a `Put`.
    fn apply(
        &mut self,
        job: &Job,
        transaction: &mut Transaction<'_>,
        now: Now,
    ) -> Result<Option<Stored>, redb::Error> {
        match job {
            Job::Put { project, users, event, .. } => {
                let number = self.index.next_number(now.ms);
                return self.put(project, users, event, number, transaction).map(Some);
            }
            Job::Acknowledge { project, user, numbers } => {
                let removed = self.remove(project, user, numbers, transaction)?;
                self.meters.acknowledged.increment(removed as u64);
            }
            Job::RemoveUnreadable { project, user, numbers } => {
                self.remove(project, user, numbers, transaction)?;
            }
            Job::Clear { project, user, .. } => {
                transaction.remove(project, user, &self.index.clear(project, user))?;
                self.release_if_empty(project, user);
            }
            Job::Flush(_) => {}
        }
        Ok(None)
    }

    fn put(
        &mut self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
        number: MessageNumber,
        transaction: &mut Transaction<'_>,
    ) -> Result<Stored, redb::Error> {
        let mut stored = Stored { number, inboxes: 0, evicted: 0 };
        let mut message = Vec::new();
        event.write(&mut message);
        let len = Event::size_of(&message);
        for user in users {
            let Admission::Accepted(evicted) = self.index.put(&self.limits, project, user, number, len)
            else {
                self.meters.rejected.increment(1);
                continue;
            };
            transaction.remove(project, user, &evicted)?;
            transaction.insert(project, user, number, &message)?;
            stored.inboxes += 1;
            stored.evicted += evicted.len();
        }
        self.meters.stored.increment(stored.inboxes as u64);
        self.meters.evicted.increment(stored.evicted as u64);
        Ok(stored)
    }

    /// Removes messages. Returns how many of them were stored.
    fn remove(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
        transaction: &mut Transaction<'_>,
    ) -> Result<usize, redb::Error> {
        let removed = self.index.remove(project, user, numbers);
        transaction.remove(project, user, &removed)?;
        self.release_if_empty(project, user);
        Ok(removed.len())
    }

    fn release_if_empty(&self, project: &ProjectId, user: &UserId) {
        if self.index.is_empty(project, user) {
            self.shared.release_empty(project, user);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.set_up(false);
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
    use switchboard_event::{Name, Payload};
    use tokio::sync::oneshot;

    use super::*;
    use crate::completion;

    const AGE_MS: u64 = 10_000;

    fn writer() -> Writer {
        let (file, shared) = (Arc::new(InboxFile::in_memory()), Arc::<Shared>::default());
        let limits = InboxLimits { age_max_ms: AGE_MS, ..InboxLimits::default() };
        Writer::new(file, shared.clone(), completion::start(shared), limits)
    }

    impl Writer {
        fn put_at(&mut self, now: Now) {
            let (project, users) = (ProjectId::new("p").unwrap(), vec![UserId::new("7").unwrap()]);
            let name = Name::new("N").unwrap();
            let event = Event { name, data: Payload::EMPTY, sender: None, time_ms: 0 };
            let done = oneshot::channel().0;
            self.write(vec![Job::Put { project, users, event, done }], now).outcome.unwrap();
        }

        /// The number of messages in the file.
        fn count_in_file(&self) -> usize {
            let mut count = 0;
            self.file.for_each(|_, _, _, _| count += 1).unwrap();
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
        writer.expire_idle(later(start, 6_000, 3_600_000));
        assert_eq!(writer.count_in_file(), 0, "expired by the clock that is an hour ahead");
        writer.put_at(later(start, 7_000, 0));
        writer.expire_idle(later(start, 16_000, 0));
        assert_eq!(writer.count_in_file(), 1);
        writer.expire_idle(later(start, 22_000, 0));
        assert_eq!(writer.count_in_file(), 0);
    }

    #[tokio::test]
    async fn messages_expire_at_the_start_and_after_a_failed_write() {
        let (mut writer, start) = (writer(), Now::read());
        writer.put_at(start);
        writer.index = Index::default();
        writer.index_is_valid = false;
        writer.expire_idle(later(start, AGE_MS, 0));
        assert_eq!((writer.count_in_file(), writer.index.count()), (1, 1), "loaded, and not too old");
        writer.index_is_valid = false;
        writer.expire_idle(later(start, 3 * AGE_MS, 0));
        assert_eq!(writer.count_in_file(), 0);
        assert!(writer.shared.is_up());
    }
}
