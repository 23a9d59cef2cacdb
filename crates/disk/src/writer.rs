//! The one thread that writes: what has come while it waited for the disk is one transaction. Now and then it
//! takes out what has waited too long, whether anything comes or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_backplane::{InboxLimits, Stored};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use tokio::sync::{mpsc, oneshot};

use crate::accounts::{Accounts, Room};
use crate::answers::{Answers, Written};
use crate::disk::{Disk, Pages};
use crate::{NotDone, Shared};

/// Most jobs in one transaction.
const BATCH_MAX: usize = 4096;

/// How long is waited for more, if the last transaction had more jobs than this one so far.
const GATHER: Duration = Duration::from_micros(100);

/// How often is looked for what has waited too long; more often if nothing may wait for so long.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

type Done<T> = oneshot::Sender<Result<T, NotDone>>;

/// Something to write.
pub(crate) enum Job {
    Put {
        project: ProjectId,
        users: Vec<UserId>,
        event: Event,
        done: Done<Stored>,
    },
    Confirm {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    Clear {
        project: ProjectId,
        user: UserId,
        done: Done<()>,
    },
    /// These cannot be read.
    Drop {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    /// Nothing; it is done when all before it is.
    Settle(Done<()>),
}

pub(crate) struct Writer {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    answers: Answers,
    limits: InboxLimits,
    accounts: Accounts,
    /// The accounts say what the file holds.
    sure: bool,
    expire_at: Instant,
    expire_every: Duration,
    meters: Meters,
}

/// The time, by two clocks.
#[derive(Clone, Copy)]
struct Now {
    /// Since 1970, as messages are told apart by. It may be set, ahead and back.
    ms: u64,
    /// It only goes on.
    at: Instant,
}

struct Meters {
    kept: Counter,
    displaced: Counter,
    refused: Counter,
    expired: Counter,
    confirmed: Counter,
    waiting: Gauge,
}

impl Writer {
    pub(crate) fn new(disk: Arc<Disk>, shared: Arc<Shared>, answers: Answers, limits: InboxLimits) -> Self {
        let meters = Meters {
            kept: counter!("switchboard_inbox_stored_total"),
            displaced: counter!("switchboard_inbox_evicted_total"),
            refused: counter!("switchboard_inbox_refused_total"),
            expired: counter!("switchboard_inbox_expired_total"),
            confirmed: counter!("switchboard_inbox_acknowledged_total"),
            waiting: gauge!("switchboard_inbox_messages"),
        };
        let accounts = Accounts::default();
        let expire_every = EXPIRE_EVERY.min(Duration::from_millis(limits.age_max_ms) / 2);
        let (expire_at, expire_every) = (Now::read().at, expire_every.max(Duration::from_millis(100)));
        Writer { disk, shared, answers, limits, accounts, sure: false, expire_at, expire_every, meters }
    }

    /// Writes until nobody can hand over anything.
    pub(crate) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let (mut jobs, mut last) = (Vec::new(), 0);
        let woken = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match receive(&mut waiting, &mut jobs, &woken, self.expire_at) {
                Poll::Ready(0) => break,
                Poll::Ready(_) => {
                    gather(&mut waiting, &mut jobs, last);
                    last = jobs.len();
                    let written = self.write(std::mem::take(&mut jobs), Now::read());
                    // Fails only if the runtime has ended, and with it those who asked.
                    let _ = self.answers.send(written);
                }
                Poll::Pending => self.look_round(Now::read()),
            }
        }
    }

    /// Nothing has come by the time to look for what has waited too long. The disk is left alone if nothing has,
    /// unless it is not known what there is: at the start, or since the disk could not be written.
    fn look_round(&mut self, now: Now) {
        if !self.sure || self.accounts.has_older(self.expired_before(now)) {
            self.write(Vec::new(), now);
        }
        self.expire_at = now.at + self.expire_every;
    }

    fn write(&mut self, jobs: Vec<Job>, now: Now) -> Written {
        let disk = self.disk.clone();
        let mut kept = Vec::with_capacity(jobs.len());
        let written = self.learn().and_then(|()| {
            disk.write(|pages| {
                self.expire(pages, now)?;
                for job in &jobs {
                    kept.push(self.work_off(job, pages, now)?);
                }
                Ok(())
            })
        });
        self.sure = written.is_ok();
        self.shared.up.store(self.sure && !self.answers.is_closed(), Ordering::Relaxed);
        self.meters.waiting.set(self.accounts.count() as f64);
        if let Err(error) = &written {
            tracing::error!(%error, "the inbox cannot be written");
        }
        Written { jobs, outcome: written.map(|()| kept).map_err(Arc::new) }
    }

    /// Learns from the file what there is, unless that is known.
    fn learn(&mut self) -> Result<(), redb::Error> {
        if !self.sure {
            self.accounts = Accounts::default();
            let Writer { disk, accounts, .. } = self;
            disk.for_each(|project, user, number, len| accounts.find(project, user, number, len))?;
        }
        Ok(())
    }

    fn expire(&mut self, pages: &mut Pages<'_>, now: Now) -> Result<(), redb::Error> {
        if now.at < self.expire_at {
            return Ok(());
        }
        self.expire_at = now.at + self.expire_every;
        for (project, user, numbers) in self.accounts.expire(self.expired_before(now)) {
            pages.remove(&project, &user, &numbers)?;
            self.meters.expired.increment(numbers.len() as u64);
            self.close_if_empty(&project, &user);
        }
        Ok(())
    }

    /// What was put before has waited too long.
    fn expired_before(&self, now: Now) -> u64 {
        now.ms.saturating_sub(self.limits.age_max_ms)
    }

    /// Puts a job into the transaction. Returns what became of the message, if it is one.
    fn work_off(
        &mut self,
        job: &Job,
        pages: &mut Pages<'_>,
        now: Now,
    ) -> Result<Option<Stored>, redb::Error> {
        match job {
            Job::Put { project, users, event, .. } => {
                let number = self.accounts.next_number(now.ms);
                return self.put(project, users, event, number, pages).map(Some);
            }
            Job::Confirm { project, user, numbers } => {
                let removed = self.remove(project, user, numbers, pages)?;
                self.meters.confirmed.increment(removed as u64);
            }
            Job::Drop { project, user, numbers } => {
                self.remove(project, user, numbers, pages)?;
            }
            Job::Clear { project, user, .. } => {
                pages.remove(project, user, &self.accounts.clear(project, user))?;
                self.close_if_empty(project, user);
            }
            Job::Settle(_) => {}
        }
        Ok(None)
    }

    fn put(
        &mut self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
        number: MessageNumber,
        pages: &mut Pages<'_>,
    ) -> Result<Stored, redb::Error> {
        let mut kept = Stored { number, inboxes: 0, evicted: 0 };
        let mut message = Vec::new();
        event.write(&mut message);
        let len = Event::size_of(&message);
        for user in users {
            let Room::Yes(displaced) = self.accounts.put(&self.limits, project, user, kept.number, len)
            else {
                self.meters.refused.increment(1);
                continue;
            };
            pages.remove(project, user, &displaced)?;
            pages.insert(project, user, kept.number, &message)?;
            kept.inboxes += 1;
            kept.evicted += displaced.len();
        }
        self.meters.kept.increment(kept.inboxes as u64);
        self.meters.displaced.increment(kept.evicted as u64);
        Ok(kept)
    }

    /// Removes messages. Returns how many of them were there.
    fn remove(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
        pages: &mut Pages<'_>,
    ) -> Result<usize, redb::Error> {
        let removed = self.accounts.remove(project, user, numbers);
        pages.remove(project, user, &removed)?;
        self.close_if_empty(project, user);
        Ok(removed.len())
    }

    /// Nobody needs to have an inbox in which nothing waits.
    fn close_if_empty(&self, project: &ProjectId, user: &UserId) {
        if self.accounts.is_empty(project, user) {
            self.shared.opened().remove(&(project.clone(), user.clone()));
        }
    }
}

/// Whoever asks from now on is told that there is no writer.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.up.store(false, Ordering::Relaxed);
        if thread::panicking() {
            tracing::error!(
                "the thread that writes the inbox panicked; until the process starts anew nothing is kept"
            );
        }
    }
}

impl Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the writer's thread; what it calls is told the time"
    )]
    fn read() -> Self {
        Now { ms: now_ms(), at: Instant::now() }
    }
}

/// Wakes a thread that waits in `receive`.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for jobs, until a time. Ready without any when nobody can hand over more.
fn receive(
    waiting: &mut mpsc::Receiver<Job>,
    jobs: &mut Vec<Job>,
    woken: &Waker,
    until: Instant,
) -> Poll<usize> {
    loop {
        let received = waiting.poll_recv_many(&mut Context::from_waker(woken), jobs, BATCH_MAX);
        if received.is_ready() {
            return received;
        }
        let left = until.saturating_duration_since(Now::read().at);
        if left.is_zero() {
            return Poll::Pending;
        }
        thread::park_timeout(left);
    }
}

/// Waits for those who were answered a moment ago and have more: as long as more comes, or until there is
/// as much as the last time. Without it they would miss this transaction, and each would wait for two.
fn gather(waiting: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>, last: usize) {
    let mut had = 0;
    while had < jobs.len() && jobs.len() < last {
        had = jobs.len();
        std::thread::sleep(GATHER);
        jobs.extend(std::iter::from_fn(|| waiting.try_recv().ok()).take(BATCH_MAX - had));
    }
}

/// The time in ms since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload};

    use super::*;
    use crate::answers;

    const AGE_MS: u64 = 10_000;

    fn writer() -> Writer {
        let (disk, shared) = (Arc::new(Disk::in_memory()), Arc::<Shared>::default());
        let limits = InboxLimits { age_max_ms: AGE_MS, ..InboxLimits::default() };
        Writer::new(disk, shared.clone(), answers::start(shared), limits)
    }

    impl Writer {
        fn put_at(&mut self, now: Now) {
            let (project, users) = (Name::new("p").unwrap(), vec![Name::new("7").unwrap()]);
            let name = Name::new("N").unwrap();
            let event = Event { name, data: Payload::EMPTY, sender: None, time_ms: 0 };
            let done = oneshot::channel().0;
            self.write(vec![Job::Put { project, users, event, done }], now).outcome.unwrap();
        }

        /// How many messages are in the file.
        fn on_disk(&self) -> usize {
            let mut count = 0;
            self.disk.for_each(|_, _, _, _| count += 1).unwrap();
            count
        }
    }

    /// Some time later by a clock that goes on, and by one that has been set.
    fn later(start: Now, ms: u64, set_ahead_ms: u64) -> Now {
        Now { ms: start.ms + ms + set_ahead_ms, at: start.at + Duration::from_millis(ms) }
    }

    #[tokio::test]
    async fn a_clock_that_was_ahead_for_a_moment_lets_nothing_wait_longer() {
        let (mut writer, start) = (writer(), Now::read());
        writer.put_at(start);
        writer.look_round(later(start, 6_000, 3_600_000));
        assert_eq!(writer.on_disk(), 0, "an hour ahead it is old");
        writer.put_at(later(start, 7_000, 0));
        writer.look_round(later(start, 16_000, 0));
        assert_eq!(writer.on_disk(), 1);
        writer.look_round(later(start, 22_000, 0));
        assert_eq!(writer.on_disk(), 0);
    }

    #[tokio::test]
    async fn it_is_looked_for_what_is_old_at_the_start_and_when_the_disk_failed() {
        let (mut writer, start) = (writer(), Now::read());
        writer.put_at(start);
        writer.accounts = Accounts::default();
        writer.sure = false;
        writer.look_round(later(start, AGE_MS, 0));
        assert_eq!((writer.on_disk(), writer.accounts.count()), (1, 1), "it is learnt, and not too old");
        writer.sure = false;
        writer.look_round(later(start, 3 * AGE_MS, 0));
        assert_eq!(writer.on_disk(), 0);
        assert!(writer.shared.up.load(Ordering::Relaxed));
    }
}
