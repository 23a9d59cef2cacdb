//! The task between a worker's desk and Redis: it renews the lease, reads, and writes what is done.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Counter, counter};
use switchboard_event::Payload;
use switchboard_hub::portal::AnswerTo;
use switchboard_redis::ConnectError;
use switchboard_redis::work::{self, Post, Reader, WorkError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, HELD_MAX, Spot, Task};

/// Most answers that wait to be sent. Of more the oldest are dropped: who asked has given up.
const ANSWERS_MAX: usize = 4096;

/// How long a read waits for something to come. Short, since new partitions are read from the next on.
const READ_WAITS: Duration = Duration::from_millis(200);

/// How long what has room is not read while something else has none.
const ROOM_WAITS: Duration = Duration::from_millis(20);

/// The longest pause before another try to connect.
const PAUSE_MAX: Duration = Duration::from_millis(1500);

/// What a worker's task and those who work share.
pub(crate) struct Shared {
    pub(crate) post: Arc<Post>,
    desk: Mutex<Desk>,
    answers: Mutex<VecDeque<(AnswerTo, Payload)>>,
    /// Something is to be written.
    to_write: Notify,
    /// The group has changed.
    changed: Arc<Notify>,
    /// There may be room for more.
    room: Notify,
    /// There may be something to hand out.
    work: Notify,
    pub(crate) leaving: CancellationToken,
    /// The task has ended.
    pub(crate) left: CancellationToken,
    leave_timeout: Duration,
    handed_out: Counter,
    lost_answers: Counter,
}

/// A connection to Redis, and one to read with.
pub(crate) type Line = (work::Desk, Reader);

impl Shared {
    pub(crate) fn new(post: Arc<Post>, leave_timeout: Duration) -> Arc<Self> {
        Arc::new(Shared {
            post,
            desk: Mutex::default(),
            answers: Mutex::default(),
            to_write: Notify::new(),
            changed: Arc::default(),
            room: Notify::new(),
            work: Notify::new(),
            leaving: CancellationToken::new(),
            left: CancellationToken::new(),
            leave_timeout,
            handed_out: counter!("switchboard_work_total"),
            lost_answers: counter!("switchboard_work_answers_lost_total"),
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no code that holds the desk panics")
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<(AnswerTo, Payload)>> {
        self.answers.lock().expect("no code that holds the answers panics")
    }

    /// Hands out the next report; none once the worker leaves.
    pub(crate) async fn next(&self) -> Option<Task> {
        loop {
            let woken = self.work.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if self.leaving.is_cancelled() {
                return None;
            }
            let pause_ends = {
                let mut desk = self.desk();
                if let Some(task) = desk.take(Instant::now()) {
                    self.handed_out.increment(1);
                    return Some(task);
                }
                desk.next_pause_ends()
            };
            tokio::select! {
                () = woken => {}
                () = self.leaving.cancelled() => {}
                () = sleep_until(pause_ends.unwrap_or_else(Instant::now)), if pause_ends.is_some() => {}
            }
        }
    }

    pub(crate) fn finish(&self, task: &Task) {
        self.desk().finish(task);
        self.to_write.notify_one();
        self.room.notify_one();
        self.work.notify_waiters();
    }

    pub(crate) fn give_back(&self, task: Task) {
        self.desk().give_back(task, Instant::now());
        self.to_write.notify_one();
        self.work.notify_waiters();
    }

    pub(crate) fn answer(&self, to: AnswerTo, data: Payload) {
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_MAX {
            answers.pop_front();
            self.lost_answers.increment(1);
        }
        answers.push_back((to, data));
        drop(answers);
        self.to_write.notify_one();
    }

    pub(crate) async fn open(&self) -> Result<Line, ConnectError> {
        let changed = self.changed.clone();
        self.post.open(move || changed.notify_one()).await
    }

    /// Works as long as somebody polls, or until the worker has left.
    pub(crate) async fn drive(self: Arc<Self>, mut first: Option<Line>) {
        loop {
            let line = match first.take() {
                Some(line) => Ok(line),
                None => self.open().await,
            };
            let ended = match line {
                Ok(line) => self.drive_through(line).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match ended {
                Ok(()) => break,
                Err(error) => tracing::warn!(error, "no connection to Redis; nothing new is handed out soon"),
            }
            self.desk().check_lease(Instant::now());
            if self.leaving.is_cancelled() {
                break;
            }
            sleep(PAUSE_MAX.mul_f64(rand::random())).await;
        }
        self.left.cancel();
    }

    /// Works through one connection until it fails or the worker has left.
    async fn drive_through(&self, (line, mut reader): Line) -> Result<(), WorkError> {
        self.desk().read_all_again();
        tokio::select! {
            error = line.cut() => Err(error),
            ended = self.manage(&line) => ended,
            ended = self.read(&mut reader) => ended,
        }
    }

    async fn manage(&self, line: &work::Desk) -> Result<(), WorkError> {
        let mut renew_at = Instant::now();
        while !self.leaving.is_cancelled() {
            self.write(line).await?;
            if renew_at <= Instant::now() || !self.desk().to_give_up().is_empty() {
                renew_at = Instant::now() + self.post.renew_every();
                self.share(line).await?;
            }
            tokio::select! {
                () = self.to_write.notified() => {}
                () = self.changed.notified() => renew_at = Instant::now(),
                () = sleep_until(renew_at) => {}
                () = self.leaving.cancelled() => {}
            }
        }
        self.leave(line).await
    }

    async fn share(&self, line: &work::Desk) -> Result<(), WorkError> {
        let given_up = self.desk().to_give_up();
        let asked = Instant::now();
        let claim = line.share(&given_up).await?;
        self.desk().claim(&claim, &given_up, asked + self.post.lease());
        self.room.notify_one();
        Ok(())
    }

    /// Answers go first: somebody waits for them.
    async fn write(&self, line: &work::Desk) -> Result<(), WorkError> {
        let answers = std::mem::take(&mut *self.answers());
        if !answers.is_empty() {
            let unsure = Unsure { count: answers.len(), lost: &self.lost_answers };
            line.answer(answers.into()).await?;
            unsure.have_gone();
        }
        let done: Vec<Spot> = self.desk().done().to_vec();
        if !done.is_empty() {
            line.finish(&done).await?;
            self.desk().taken_out(&done);
        }
        Ok(())
    }

    /// Waits for what is at work, and goes. The lease is renewed until then.
    async fn leave(&self, line: &work::Desk) -> Result<(), WorkError> {
        let over = timeout(self.leave_timeout, async {
            let mut renew_at = Instant::now();
            while self.desk().is_at_work() {
                self.write(line).await?;
                if renew_at <= Instant::now() {
                    renew_at = Instant::now() + self.post.renew_every();
                    self.share(line).await?;
                }
                tokio::select! {
                    () = self.to_write.notified() => {}
                    () = sleep_until(renew_at) => {}
                }
            }
            Ok::<_, WorkError>(())
        });
        if let Ok(ended) = over.await {
            ended?;
        }
        self.write(line).await?;
        let clean = self.desk().clean();
        line.leave(&clean).await
    }

    async fn read(&self, reader: &mut Reader) -> Result<(), WorkError> {
        loop {
            let (wanted, full) = self.desk().wanted();
            if wanted.is_empty() {
                self.room.notified().await;
                continue;
            }
            let after: Vec<Spot> = wanted.iter().map(|one| (one.partition, one.after)).collect();
            // What waits would hold up what has room again.
            let wait = (!full).then_some(READ_WAITS);
            let entries = reader.read(&after, HELD_MAX / 2, wait).await?;
            if entries.is_empty() {
                if full {
                    let _ = timeout(ROOM_WAITS, self.room.notified()).await;
                }
                continue;
            }
            let to_write = {
                let mut desk = self.desk();
                desk.add(&wanted, entries);
                !desk.done().is_empty()
            };
            if to_write {
                self.to_write.notify_one();
            }
            self.work.notify_waiters();
        }
    }
}

impl Drop for Shared {
    /// Nobody sends the answers that are left.
    fn drop(&mut self) {
        let left = self.answers().len();
        self.lost_answers.increment(left as u64);
    }
}

/// Answers on their way to Redis. They are lost if this is dropped before they have gone, be it that the
/// connection ends or that nobody waits any longer: which of them arrived is not known, and who asked may
/// have given up by the time there is another connection.
struct Unsure<'a> {
    count: usize,
    lost: &'a Counter,
}

impl Unsure<'_> {
    fn have_gone(mut self) {
        self.count = 0;
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        self.lost.increment(self.count as u64);
    }
}
