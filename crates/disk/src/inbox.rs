//! The public inbox: it enqueues writes for the writer and reads from the file itself.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use metrics::counter;
use switchboard_backplane::{
    BackplaneFuture, BoxFuture, Inbox, InboxLimits, InboxPage, Receiver, Stored, StoredMessage,
};
use switchboard_event::{Event, MessageNumber, ProjectId, SocketId, UserId};
use switchboard_log::{limited, printable};
use tokio::sync::{mpsc, oneshot};

use crate::completion;
use crate::current_file::CurrentFile;
use crate::error::{FileError, JobError, OpenError};
use crate::file::{FilePage, InboxFile};
use crate::index::first_number_at;
use crate::job::{Job, ResultSender};
use crate::shared::{JOBS_KIB_MAX, Shared};
use crate::writer::{Writer, now_ms};

/// Stores users' messages in a file.
pub struct DiskInbox {
    file: Arc<CurrentFile>,
    shared: Arc<Shared>,
    /// `None` once the inbox is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    age_max_ms: u64,
}

impl DiskInbox {
    /// Opens an inbox file, or creates it. Reads the whole file to verify its checksums.
    ///
    /// If a write or a read fails later, the inbox is [down](Inbox::is_up) and calls fail. The file is opened again
    /// by itself, at least every 30 s, until it works.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, because the inbox starts a task.
    pub fn open(path: &Path, limits: InboxLimits) -> Result<Self, OpenError> {
        Ok(DiskInbox::with_file(CurrentFile::open(path)?, limits))
    }

    /// Returns the error that [`open`](Self::open) would return. Neither creates the file nor changes it.
    pub fn check(path: &Path) -> Result<(), OpenError> {
        crate::check::check(path)
    }

    /// An inbox that is lost with the process, for tests. Must be called in a Tokio runtime as well.
    pub fn in_memory(limits: InboxLimits) -> Self {
        DiskInbox::with_file(CurrentFile::in_memory(), limits)
    }

    fn with_file(file: CurrentFile, limits: InboxLimits) -> Self {
        let (file, shared) = (Arc::new(file), Arc::<Shared>::default());
        shared.set_is_up(true);
        // Each job takes at least one KiB, so the channel has space for all.
        let (sender, jobs) = mpsc::channel(JOBS_KIB_MAX as usize);
        let writer = Writer::new(file.clone(), shared.clone(), completion::start(shared.clone()), limits);
        let thread = std::thread::Builder::new().name("switchboard-disk".into());
        let writer = thread.spawn(move || writer.run(jobs)).expect("the system can start a thread");
        DiskInbox { file, shared, jobs: Some(sender), writer: Some(writer), age_max_ms: limits.age_max_ms }
    }

    /// Enqueues a job and waits for its result.
    async fn submit<T>(&self, job: impl FnOnce(ResultSender<T>) -> Job) -> Result<T, JobError> {
        let (done, result) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(JobError::Closed)?;
        let job = job(done);
        let space = self.shared.space_for(&job).await.map_err(|_| JobError::Closed)?;
        let permit = jobs.reserve().await.map_err(|_| JobError::Closed)?;
        self.shared.enqueue(space, permit, job);
        result.await.unwrap_or(Err(JobError::Closed))
    }

    /// Enqueues a job without waiting, after `before`. Returns false if the queue is full.
    fn try_enqueue(&self, job: Job, before: impl FnOnce()) -> bool {
        let permit = self.jobs.as_ref().and_then(|jobs| jobs.try_reserve().ok());
        let (Some(permit), Some(space)) = (permit, self.shared.try_space_for(&job)) else { return false };
        before();
        self.shared.enqueue(space, permit, job);
        true
    }

    /// The oldest messages of a user after another one, at most `limit`. Expired messages are left out, even if the
    /// writer has not removed them yet. Unreadable entries are set aside.
    fn page(
        &self,
        project: &ProjectId,
        user: &UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, JobError> {
        let oldest = first_number_at(now_ms().saturating_sub(self.age_max_ms));
        let from = after.map_or(oldest, |after| oldest.max(MessageNumber(after.0.saturating_add(1))));
        let FilePage { messages, unreadable } =
            self.read(|file| file.page(project, user, from, limit)).map_err(JobError::Read)?;
        if !unreadable.is_empty() {
            // If the queue is full, the next login of the user sets them aside.
            let (project, user) = (project.clone(), user.clone());
            self.try_enqueue(Job::SetAside { project, user, numbers: unreadable }, || ());
        }
        Ok(messages)
    }

    /// Reads the file. After a failure the writer opens it again.
    fn read<T>(&self, read: impl FnOnce(&InboxFile) -> Result<T, redb::Error>) -> Result<T, Arc<FileError>> {
        let generation = self.file.generation();
        self.file.with(read).map_err(|error| self.report_failure(error, generation))
    }

    /// Lets the writer open the file again after a failure.
    pub(crate) fn report_failure(&self, error: FileError, generation: u64) -> Arc<FileError> {
        let error = Arc::new(error);
        if !matches!(*error, FileError::NotOpen) {
            // If the queue is full, the next write fails as well.
            self.try_enqueue(Job::ReadFailed { error: error.clone(), generation }, || ());
        }
        error
    }

    pub(crate) fn file(&self) -> &Arc<CurrentFile> {
        &self.file
    }

    /// Waits until all jobs enqueued before are written.
    async fn flush(&self) -> Result<(), JobError> {
        match self.shared.pending() {
            0 => Ok(()),
            _ => self.submit(Job::Flush).await,
        }
    }
}

impl Inbox for DiskInbox {
    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.shared.set_receiver(receiver);
    }

    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> BackplaneFuture<'a, Stored> {
        let (project, mut users, event) = (project.clone(), users.to_vec(), event.clone());
        users.sort_unstable();
        users.dedup();
        Box::pin(async move { Ok(self.submit(|done| Job::Put { project, users, event, done }).await?) })
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        max: usize,
    ) -> BackplaneFuture<'a, InboxPage> {
        Box::pin(async move {
            if self.shared.has_unwritten_acks(project, user) {
                self.flush().await?;
            }
            if let Some(holder) = self.shared.hold(project, user, socket) {
                let oldest = self.page(project, user, None, 1)?.first().map(|message| message.number);
                return Ok(InboxPage { held_by: Some(holder), oldest, ..InboxPage::default() });
            }
            let messages = self.page(project, user, after, max)?;
            // With `after`, earlier messages may still be on their way to the socket, so it stays the holder.
            if messages.is_empty() && after.is_none() {
                self.release(project, user, socket);
            }
            Ok(InboxPage { messages, ..InboxPage::default() })
        })
    }

    fn peek<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> BackplaneFuture<'a, Vec<StoredMessage>> {
        Box::pin(async move {
            if self.shared.has_unwritten_acks(project, user) {
                self.flush().await?;
            }
            Ok(self.page(project, user, after, limit)?)
        })
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        let job = Job::Acknowledge { project: project.clone(), user: user.clone(), numbers };
        if !self.try_enqueue(job, || self.shared.add_ack(project.clone(), user.clone())) {
            counter!("switchboard_inbox_receipts_dropped_total").increment(1);
            limited!(
                DEBUG,
                project = printable(project),
                user = printable(user),
                "inbox writer is busy; acknowledgement dropped, messages will be redelivered"
            );
        }
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        self.shared.release(project, user, socket);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> BackplaneFuture<'a, ()> {
        let (project, user) = (project.clone(), user.clone());
        Box::pin(async move { Ok(self.submit(|done| Job::Clear { project, user, done }).await?) })
    }

    fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Failed jobs count as settled.
            let _ = self.flush().await;
        })
    }
}

impl Drop for DiskInbox {
    /// Waits until the writer has written all enqueued jobs.
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use switchboard_backplane::Publication;
    use switchboard_event::Payload;
    use switchboard_testkit::soon;

    use switchboard_testkit::name;

    use super::*;
    use crate::file::Transaction;

    fn encoded(event: &str) -> Vec<u8> {
        let event = Event { name: name(event), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
        let mut bytes = Vec::new();
        event.write(&mut bytes);
        bytes
    }

    /// An inbox without a writer, and its job queue, which has space for one job.
    fn without_writer(file: CurrentFile) -> (DiskInbox, mpsc::Receiver<Job>) {
        let (sender, jobs) = mpsc::channel(1);
        let (file, shared) = (Arc::new(file), Arc::default());
        (DiskInbox { file, shared, jobs: Some(sender), writer: None, age_max_ms: 60_000 }, jobs)
    }

    #[test]
    fn a_call_cancelled_while_the_queue_is_full_enqueues_nothing() {
        let (inbox, mut jobs) = without_writer(CurrentFile::in_memory());
        let (project, user) = (name("p"), name("7"));
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(inbox.clear(&project, &user));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut second = pin!(inbox.clear(&project, &user));
            assert!(second.as_mut().poll(&mut context).is_pending());
        }
        inbox.acknowledge(&project, &user, vec![MessageNumber(1)]);
        assert!(!inbox.shared.has_unwritten_acks(&project, &user), "the queue is full");
        assert_eq!(inbox.shared.pending(), 1);
        jobs.try_recv().unwrap();
        assert!(jobs.try_recv().is_err());
    }

    #[tokio::test]
    async fn callers_wait_while_the_queued_jobs_are_at_their_byte_bound() {
        let (sender, mut jobs) = mpsc::channel(100);
        let (file, shared) = (Arc::new(CurrentFile::in_memory()), Arc::<Shared>::default());
        let inbox = DiskInbox { file, shared, jobs: Some(sender), writer: None, age_max_ms: 60_000 };
        let (project, users) = (name("p"), [name("7")]);
        let data = Payload::of(&"x".repeat(1024 * 1024)).unwrap();
        let event = Event { name: name("N"), data, sender: None, time_ms: 0, trace: None };
        let mut context = Context::from_waker(Waker::noop());
        let mut puts: Vec<_> = (0..17).map(|_| inbox.put(&project, &users, &event)).collect();
        assert!(puts.iter_mut().all(|put| put.as_mut().poll(&mut context).is_pending()));
        let mut queued = Vec::new();
        while let Ok(job) = jobs.try_recv() {
            queued.push(job);
        }
        assert_eq!(queued.len(), 15, "16 MiB have room for 15 messages of 1 MiB and their overhead");
        inbox.acknowledge(&project, &users[0], vec![MessageNumber(1); 1024 * 1024 / 8]);
        assert!(!inbox.shared.has_unwritten_acks(&project, &users[0]), "it is dropped");
        inbox.shared.complete(queued.len(), Shared::kib_of(&queued));
        assert!(puts[15..].iter_mut().all(|put| put.as_mut().poll(&mut context).is_pending()));
        assert!(jobs.try_recv().is_ok() && jobs.try_recv().is_ok());
        inbox.shared.close();
        assert!(inbox.put(&project, &users, &event).await.is_err(), "the writer has ended");
    }

    #[tokio::test]
    async fn expired_messages_are_not_returned_before_they_are_removed() {
        let file = CurrentFile::in_memory();
        let (project, user, socket) = (name("p"), name("7"), SocketId::random());
        let put_ms = [now_ms() - 70_000, now_ms() - 61_000, now_ms() - 10_000, now_ms()];
        let [oldest, old, young, new] = put_ms.map(first_number_at);
        let put = |transaction: &mut Transaction<'_>| {
            [oldest, old, young, new]
                .into_iter()
                .try_for_each(|number| transaction.insert(&project, &user, number, &encoded("N")))
        };
        file.with(|file| file.write(put)).unwrap();
        let (inbox, _jobs) = without_writer(file);
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
        assert_eq!(opened.messages[0].number, young, "expired messages do not count towards the limit");
    }

    #[tokio::test]
    async fn expired_messages_are_removed_while_no_jobs_arrive() {
        let inbox = DiskInbox::in_memory(InboxLimits { age_max_ms: 1, ..InboxLimits::default() });
        let event = Event::read(encoded("N").into()).unwrap();
        for _ in 0..2 {
            inbox.put(&name("p"), &[name("7")], &event).await.unwrap();
            soon("the message is removed", async {
                let is_stored = || {
                    let mut is_stored = false;
                    inbox.file.with(|file| file.for_each(|_, _, _, _| is_stored = true)).unwrap();
                    is_stored
                };
                while is_stored() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn unreadable_entries_are_skipped_and_set_aside() {
        let file = CurrentFile::in_memory();
        let (project, user, socket) = (name("p"), name("7"), SocketId::random());
        let numbers: [MessageNumber; 7] =
            std::array::from_fn(|offset| MessageNumber(first_number_at(now_ms()).0 + offset as u64));
        let event = encoded("N");
        let values: [&[u8]; 7] = [b"", b"no event", &event[..5], &event, &[9; 40], &event, &event];
        let put = |transaction: &mut Transaction<'_>| {
            let mut all = numbers.iter().zip(values);
            all.try_for_each(|(number, value)| transaction.insert(&project, &user, *number, value))
        };
        file.with(|file| file.write(put)).unwrap();
        let inbox = DiskInbox::with_file(file, InboxLimits::default());
        let opened = inbox.open(&project, &user, socket, None, 2).await.unwrap();
        let received: Vec<MessageNumber> = opened.messages.iter().map(|message| message.number).collect();
        assert_eq!(received, [numbers[3], numbers[5]], "unreadable entries do not count towards the limit");
        inbox.settled().await;
        let mut left = Vec::new();
        inbox.file.with(|file| file.for_each(|_, _, number, _| left.push(number))).unwrap();
        assert_eq!(left, [numbers[3], numbers[5], numbers[6]]);
    }

    /// Counts the calls after an outage.
    #[derive(Default)]
    struct Missed(AtomicUsize);

    impl Receiver for Missed {
        fn receive(&self, _: Publication) {}

        fn missed(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn unreached(&self) {}

        fn has(&self, _: SocketId) -> bool {
            false
        }
    }

    async fn until_up(inbox: &DiskInbox, is_up: bool) {
        soon("the inbox is up or down", async {
            while inbox.is_up() != is_up {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn calls_fail_while_the_writer_panics_and_afterwards_nothing_is_lost_or_delivered_again() {
        let inbox = DiskInbox::in_memory(InboxLimits::default());
        let missed = Arc::new(Missed::default());
        inbox.start(Arc::downgrade(&(missed.clone() as Arc<dyn Receiver>)));
        let (project, user, socket) = (name("p"), name("7"), SocketId::random());
        let event = Event::read(encoded("N").into()).unwrap();
        let put = || inbox.put(&project, std::slice::from_ref(&user), &event);
        let (acknowledged, kept) = (put().await.unwrap().number, put().await.unwrap().number);
        let shared = inbox.shared.clone();
        assert!(std::thread::spawn(move || shared.poison_holders()).join().is_err());
        // Frees the inbox of another user, for which the writer needs the holders.
        inbox.acknowledge(&project, &user, vec![acknowledged]);
        inbox.clear(&project, &name("8")).await.unwrap_err();
        until_up(&inbox, false).await;
        for _ in 0..2 {
            let error = put().await.unwrap_err();
            assert!(error.0.to_string().contains("inbox file cannot be written"), "{}", error.0);
        }
        assert_eq!(missed.0.load(Ordering::Relaxed), 0);
        inbox.shared.clear_poison_of_holders();
        until_up(&inbox, true).await;
        let new = put().await.unwrap().number;
        let opened = inbox.open(&project, &user, socket, None, 10).await.unwrap();
        assert!(opened.messages.iter().map(|message| message.number).eq([kept, new]));
        assert_eq!(missed.0.load(Ordering::Relaxed), 1, "sockets read their inboxes again");
    }
}
