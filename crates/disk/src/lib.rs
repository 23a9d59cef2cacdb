//! Messages that wait for users, in a file of the node's own: for one node that has no Redis.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use switchboard_event::{Event, Name, Payload};
//! use switchboard_backplane::{Inbox, InboxLimits};
//! use switchboard_disk::DiskInbox;
//!
//! # let directory = switchboard_testkit::Scratch::new();
//! # let path = directory.file("inbox.redb");
//! let inbox = DiskInbox::open(path.as_ref(), InboxLimits::default())?;
//! // An app takes it with `App::with_inbox(Arc::new(inbox))`.
//! let (project, user) = (Name::new("default")?, Name::new("7")?);
//! let event = Event { name: Name::new("INVITE")?, data: Payload::EMPTY, sender: None, time_ms: 0 };
//! let kept = inbox.put(&project, &[user], &event).await?; // on the disk when this returns
//! assert_eq!(kept.inboxes, 1);
//! # Ok(()) }
//! ```
//!
//! One thread writes, and one task says what is written. What comes while the thread waits for the disk
//! is the next transaction, so a flood of messages costs as few writes as a trickle. Which messages there
//! are, and how large, it knows by heart; it learns that from the file when it starts.

mod accounts;
mod answers;
mod disk;
mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::JoinHandle;

use switchboard_backplane::{
    BoxFuture, Inbox, InboxLimits, InboxPage, Receiver, StoreError, StoreFuture, Stored, StoredMessage,
};
use switchboard_event::{Event, MessageNumber, ProjectId, SocketId, UserId};
use tokio::sync::{mpsc, oneshot};

use accounts::first_number_at;
use disk::{Disk, Found};
use writer::{Job, Writer, now_ms};

/// Most jobs that wait for the writer.
const JOBS_MAX: usize = 16 * 1024;

/// Why there is no inbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the inbox {0} is in use by another process")]
    InUse(PathBuf),
    /// It is no inbox, is damaged, or may not be written.
    #[error("the inbox {path} cannot be opened")]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: redb::Error,
    },
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("the inbox has ended, or the runtime it was opened in")]
    Ended,
    #[error("the inbox cannot be written")]
    Disk(#[source] Arc<redb::Error>),
    #[error("the inbox cannot be read")]
    Read(#[source] redb::Error),
}

impl From<NotDone> for StoreError {
    fn from(error: NotDone) -> Self {
        StoreError(Box::new(error))
    }
}

/// Keeps messages for users in a file.
pub struct DiskInbox {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    age_max_ms: u64,
}

/// What the writer, who answers and those who ask share.
#[derive(Default)]
struct Shared {
    receiver: OnceLock<Weak<dyn Receiver>>,
    /// Which socket has opened whose inbox.
    opened: Mutex<HashMap<(ProjectId, UserId), SocketId>>,
    /// How many confirms of a user are not written.
    confirming: Mutex<HashMap<(ProjectId, UserId), usize>>,
    /// Jobs that are not done.
    pending: AtomicUsize,
    up: AtomicBool,
}

impl Shared {
    fn opened(&self) -> MutexGuard<'_, HashMap<(ProjectId, UserId), SocketId>> {
        self.opened.lock().expect("no code that holds the opened inboxes panics")
    }

    fn confirming(&self) -> MutexGuard<'_, HashMap<(ProjectId, UserId), usize>> {
        self.confirming.lock().expect("no code that holds the confirms panics")
    }

    /// A confirm is written, or is no longer waited for.
    fn confirmed(&self, project: ProjectId, user: UserId) {
        if let Entry::Occupied(mut count) = self.confirming().entry((project, user)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Puts a job in its place. It is pending from now on; who only waits for a place has handed over nothing,
    /// and may give up.
    fn hand_over(&self, place: mpsc::Permit<'_, Job>, job: Job) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        place.send(job);
    }

    fn receiver(&self) -> Option<Arc<dyn Receiver>> {
        self.receiver.get()?.upgrade()
    }

    /// Gives an inbox to a socket, unless another one has it that is still there: then that one.
    fn take(&self, project: &ProjectId, user: &UserId, socket: SocketId) -> Option<SocketId> {
        let receiver = self.receiver();
        let is_here = |other: SocketId| receiver.as_ref().is_some_and(|receiver| receiver.has(other));
        let mut opened = self.opened();
        let by = opened.entry((project.clone(), user.clone())).or_insert(socket);
        if *by != socket && is_here(*by) {
            return Some(*by);
        }
        *by = socket;
        None
    }
}

impl DiskInbox {
    /// Opens the inbox in a file, or begins one.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime: a task of it answers.
    pub fn open(path: &Path, limits: InboxLimits) -> Result<Self, OpenError> {
        Ok(DiskInbox::on(Disk::open(path)?, limits))
    }

    /// An inbox that is lost with the process: for tests. In a Tokio runtime as well.
    pub fn in_memory(limits: InboxLimits) -> Self {
        DiskInbox::on(Disk::in_memory(), limits)
    }

    fn on(disk: Disk, limits: InboxLimits) -> Self {
        let (disk, shared) = (Arc::new(disk), Arc::<Shared>::default());
        shared.up.store(true, Ordering::Relaxed);
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let writer = Writer::new(disk.clone(), shared.clone(), answers::start(shared.clone()), limits);
        let writer =
            std::thread::Builder::new().name("switchboard-disk".into()).spawn(move || writer.run(waiting));
        let writer = Some(writer.expect("the system can start a thread"));
        DiskInbox { disk, shared, jobs: Some(jobs), writer, age_max_ms: limits.age_max_ms }
    }

    /// Hands a job over and waits for its end.
    async fn have_done<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, NotDone>>) -> Job,
    ) -> Result<T, NotDone> {
        let (done, outcome) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(NotDone::Ended)?;
        let place = jobs.reserve().await.map_err(|_| NotDone::Ended)?;
        self.shared.hand_over(place, job(done));
        outcome.await.unwrap_or(Err(NotDone::Ended))
    }

    /// A place for a job, if there is one now.
    fn place(&self) -> Option<mpsc::Permit<'_, Job>> {
        self.jobs.as_ref()?.try_reserve().ok()
    }

    /// The oldest messages of a user after another one that have not waited too long, whether those that have
    /// are taken out yet or not. What cannot be read is dropped.
    fn page(
        &self,
        project: &ProjectId,
        user: &UserId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Result<Vec<StoredMessage>, NotDone> {
        let oldest = first_number_at(now_ms().saturating_sub(self.age_max_ms));
        let from = after.map_or(oldest, |after| oldest.max(MessageNumber(after.0.saturating_add(1))));
        let Found { messages, unreadable } =
            self.disk.page(project, user, from, most).map_err(NotDone::Read)?;
        if !unreadable.is_empty() {
            tracing::error!(%project, %user, count = unreadable.len(), "what waits cannot be read; it is dropped");
            // Without a place it waits for who opens the inbox next.
            if let Some(place) = self.place() {
                let (project, user) = (project.clone(), user.clone());
                self.shared.hand_over(place, Job::Drop { project, user, numbers: unreadable });
            }
        }
        Ok(messages)
    }

    /// When everything that was handed over before is written.
    async fn written(&self) -> Result<(), NotDone> {
        match self.shared.pending.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => self.have_done(Job::Settle).await,
        }
    }
}

impl Inbox for DiskInbox {
    fn start(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.shared.receiver.set(receiver);
    }

    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> StoreFuture<'a, Stored> {
        let (project, mut users, event) = (project.clone(), users.to_vec(), event.clone());
        users.sort_unstable();
        users.dedup();
        Box::pin(async move { Ok(self.have_done(|done| Job::Put { project, users, event, done }).await?) })
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> StoreFuture<'a, InboxPage> {
        Box::pin(async move {
            if self.shared.confirming().contains_key(&(project.clone(), user.clone())) {
                self.written().await?;
            }
            if let Some(other) = self.shared.take(project, user, socket) {
                let oldest = self.page(project, user, None, 1)?.first().map(|waiting| waiting.number);
                return Ok(InboxPage { held_by: Some(other), oldest, ..InboxPage::default() });
            }
            let messages = self.page(project, user, after, most)?;
            // Where nothing waits behind others, those may still be on their way.
            if messages.is_empty() && after.is_none() {
                self.release(project, user, socket);
            }
            Ok(InboxPage { messages, ..InboxPage::default() })
        })
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        let Some(place) = self.place() else {
            tracing::debug!("the inbox takes no more now; messages will be delivered again");
            return;
        };
        let (project, user) = (project.clone(), user.clone());
        *self.shared.confirming().entry((project.clone(), user.clone())).or_default() += 1;
        self.shared.hand_over(place, Job::Confirm { project, user, numbers });
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        let mut opened = self.shared.opened();
        let key = (project.clone(), user.clone());
        if opened.get(&key) == Some(&socket) {
            opened.remove(&key);
        }
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> StoreFuture<'a, ()> {
        let (project, user) = (project.clone(), user.clone());
        Box::pin(async move { Ok(self.have_done(|done| Job::Clear { project, user, done }).await?) })
    }

    fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Relaxed)
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // What cannot be written now has been refused and is no longer waited for.
            let _ = self.written().await;
        })
    }
}

/// Writes what was handed over.
impl Drop for DiskInbox {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use switchboard_event::{Name, Payload};
    use switchboard_testkit::soon;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn written(event: &str) -> Vec<u8> {
        let event = Event { name: name(event), data: Payload::EMPTY, sender: None, time_ms: 0 };
        let mut bytes = Vec::new();
        event.write(&mut bytes);
        bytes
    }

    /// An inbox of which nobody takes jobs but the test; there is room for one.
    fn without_writer(disk: Disk) -> (DiskInbox, mpsc::Receiver<Job>) {
        let (jobs, waiting) = mpsc::channel(1);
        let (disk, shared) = (Arc::new(disk), Arc::default());
        (DiskInbox { disk, shared, jobs: Some(jobs), writer: None, age_max_ms: 60_000 }, waiting)
    }

    #[test]
    fn who_gives_up_while_there_is_no_place_is_waited_for_by_nobody() {
        let (inbox, mut waiting) = without_writer(Disk::in_memory());
        let (project, user) = (name("p"), name("7"));
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(inbox.clear(&project, &user));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut second = pin!(inbox.clear(&project, &user));
            assert!(second.as_mut().poll(&mut context).is_pending());
        }
        inbox.acknowledge(&project, &user, vec![MessageNumber(1)]);
        assert!(inbox.shared.confirming().is_empty(), "there was no place for it");
        assert_eq!(inbox.shared.pending.load(Ordering::Relaxed), 1);
        waiting.try_recv().unwrap();
        assert!(waiting.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_has_waited_too_long_is_not_handed_out_though_it_is_still_there() {
        let disk = Disk::in_memory();
        let (project, user, socket) = (name("p"), name("7"), SocketId::random());
        let put_ms = [now_ms() - 70_000, now_ms() - 61_000, now_ms() - 10_000, now_ms()];
        let [oldest, old, young, new] = put_ms.map(first_number_at);
        let put = |pages: &mut disk::Pages<'_>| {
            [oldest, old, young, new]
                .into_iter()
                .try_for_each(|number| pages.insert(&project, &user, number, &written("N")))
        };
        disk.write(put).unwrap();
        let (inbox, _waiting) = without_writer(disk);
        for (after, expected) in [
            (None, &[young, new][..]),
            (Some(oldest), &[young, new]),
            (Some(young), &[new]),
            (Some(new), &[]),
        ] {
            let opened = inbox.open(&project, &user, socket, after, 10).await.unwrap();
            assert!(opened.messages.iter().map(|message| &message.number).eq(expected), "{after:?}");
        }
        let opened = inbox.open(&project, &user, socket, None, 1).await.unwrap();
        assert_eq!(opened.messages[0].number, young, "it takes nobody's place");
    }

    #[tokio::test]
    async fn what_is_too_old_leaves_the_file_though_nothing_comes() {
        let inbox = DiskInbox::in_memory(InboxLimits { age_max_ms: 1, ..InboxLimits::default() });
        let event = Event::read(written("N").into()).unwrap();
        for _ in 0..2 {
            inbox.put(&name("p"), &[name("7")], &event).await.unwrap();
            soon("it is gone", async {
                let is_there = || {
                    let mut is_there = false;
                    inbox.disk.for_each(|_, _, _, _| is_there = true).unwrap();
                    is_there
                };
                while is_there() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_hides_nothing_and_is_dropped() {
        let disk = Disk::in_memory();
        let (project, user, socket) = (name("p"), name("7"), SocketId::random());
        let numbers: [MessageNumber; 7] =
            std::array::from_fn(|at| MessageNumber(first_number_at(now_ms()).0 + at as u64));
        let event = written("N");
        let values: [&[u8]; 7] = [b"", b"no event", &event[..5], &event, &[9; 40], &event, &event];
        let put = |pages: &mut disk::Pages<'_>| {
            let mut all = numbers.iter().zip(values);
            all.try_for_each(|(number, value)| pages.insert(&project, &user, *number, value))
        };
        disk.write(put).unwrap();
        let inbox = DiskInbox::on(disk, InboxLimits::default());
        let opened = inbox.open(&project, &user, socket, None, 2).await.unwrap();
        let got: Vec<MessageNumber> = opened.messages.iter().map(|message| message.number).collect();
        assert_eq!(got, [numbers[3], numbers[5]], "as many as were asked for");
        inbox.settled().await;
        let mut left = Vec::new();
        inbox.disk.for_each(|_, _, number, _| left.push(number)).unwrap();
        assert_eq!(left, [numbers[3], numbers[5], numbers[6]]);
    }

    #[tokio::test]
    async fn when_the_writer_panics_nothing_is_kept_and_it_says_so() {
        let inbox = DiskInbox::in_memory(InboxLimits::default());
        let (project, user) = (name("p"), name("7"));
        inbox.clear(&project, &user).await.unwrap();
        assert!(inbox.is_up());
        let shared = inbox.shared.clone();
        let poison = std::thread::spawn(move || {
            let _opened = shared.opened();
            panic!("so that the next one who looks does");
        });
        assert!(poison.join().is_err());
        inbox.acknowledge(&project, &user, vec![MessageNumber(1)]);
        soon("it is known", async {
            while inbox.is_up() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let event = Event::read(written("N").into()).unwrap();
        for _ in 0..2 {
            let error = inbox.put(&project, std::slice::from_ref(&user), &event).await.unwrap_err();
            assert!(error.0.to_string().contains("the inbox has ended"), "{}", error.0);
        }
        inbox.settled().await;
    }
}
