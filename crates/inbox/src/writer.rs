//! The one thread that writes: what has come while it waited for the disk is one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use switchboard_hub::InboxLimits;
use switchboard_hub::inbox::Kept;
use tokio::sync::{mpsc, oneshot};

use crate::accounts::{Accounts, Room};
use crate::answers::{Answers, Written};
use crate::disk::{Disk, Pages};
use crate::{NotDone, Shared};

/// Most jobs in one transaction.
const BATCH_MAX: usize = 4096;

/// How long is waited for more, if the last transaction had more jobs than this one so far.
const GATHER: Duration = Duration::from_micros(100);

/// How often is looked for what has waited too long.
const EXPIRE_EVERY_MS: u64 = 60_000;

type Done<T> = oneshot::Sender<Result<T, NotDone>>;

/// Something to write.
pub(crate) enum Job {
    Put {
        project: ProjectId,
        users: Vec<UserId>,
        event: Event,
        done: Done<Kept>,
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
    expired_ms: u64,
    meters: Meters,
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
            kept: counter!("switchboard_inbox_kept_total"),
            displaced: counter!("switchboard_inbox_displaced_total"),
            refused: counter!("switchboard_inbox_refused_total"),
            expired: counter!("switchboard_inbox_expired_total"),
            confirmed: counter!("switchboard_inbox_confirmed_total"),
            waiting: gauge!("switchboard_inbox_waiting"),
        };
        let accounts = Accounts::default();
        Writer { disk, shared, answers, limits, accounts, sure: false, expired_ms: 0, meters }
    }

    /// Writes until nobody can hand over anything.
    pub(crate) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let (mut jobs, mut last) = (Vec::new(), 0);
        while waiting.blocking_recv_many(&mut jobs, BATCH_MAX) > 0 {
            gather(&mut waiting, &mut jobs, last);
            last = jobs.len();
            let written = self.write(std::mem::take(&mut jobs));
            // Fails only if the runtime has ended, and with it those who asked.
            let _ = self.answers.send(written);
        }
    }

    fn write(&mut self, jobs: Vec<Job>) -> Written {
        let disk = self.disk.clone();
        let mut kept = Vec::with_capacity(jobs.len());
        let written = self.learn().and_then(|()| {
            disk.write(|pages| {
                self.expire(pages)?;
                for job in &jobs {
                    kept.push(self.work_off(job, pages)?);
                }
                Ok(())
            })
        });
        self.sure = written.is_ok();
        self.shared.up.store(self.sure, Ordering::Relaxed);
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

    fn expire(&mut self, pages: &mut Pages<'_>) -> Result<(), redb::Error> {
        let now = now_ms();
        if now < self.expired_ms + EXPIRE_EVERY_MS.min(self.limits.age_max_ms) {
            return Ok(());
        }
        self.expired_ms = now;
        for (project, user, numbers) in self.accounts.expire(now.saturating_sub(self.limits.age_max_ms)) {
            pages.remove(&project, &user, &numbers)?;
            self.meters.expired.increment(numbers.len() as u64);
        }
        Ok(())
    }

    /// Puts a job into the transaction. Returns what became of the message, if it is one.
    fn work_off(&mut self, job: &Job, pages: &mut Pages<'_>) -> Result<Option<Kept>, redb::Error> {
        match job {
            Job::Put { project, users, event, .. } => {
                return self.put(project, users, event, pages).map(Some);
            }
            Job::Confirm { project, user, numbers } => {
                let removed = self.accounts.remove(project, user, numbers);
                pages.remove(project, user, &removed)?;
                self.meters.confirmed.increment(removed.len() as u64);
                self.close_if_empty(project, user);
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
        pages: &mut Pages<'_>,
    ) -> Result<Kept, redb::Error> {
        let mut kept = Kept { number: self.accounts.next_number(now_ms()), inboxes: 0, displaced: 0 };
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
            kept.displaced += displaced.len();
        }
        self.meters.kept.increment(kept.inboxes as u64);
        self.meters.displaced.increment(kept.displaced as u64);
        Ok(kept)
    }

    /// Nobody needs to have an inbox in which nothing waits.
    fn close_if_empty(&self, project: &ProjectId, user: &UserId) {
        if self.accounts.is_empty(project, user) {
            self.shared.opened().remove(&(project.clone(), user.clone()));
        }
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

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
