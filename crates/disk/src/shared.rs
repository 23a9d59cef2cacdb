//! The state that the inbox, the writer and the completion task share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use metrics::{Gauge, gauge};
use switchboard_backplane::Receiver;
use switchboard_event::{ProjectId, SocketId, UserId};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, mpsc};

use crate::job::Job;

/// Maximum size of the jobs that are not completed, in KiB: 16 MiB. A caller beyond it waits.
pub(crate) const JOBS_KIB_MAX: u32 = 16 * 1024;

pub(crate) struct Shared {
    receiver: OnceLock<Weak<dyn Receiver>>,
    /// The socket that currently receives the inbox of a user.
    holders: Mutex<HashMap<(ProjectId, UserId), SocketId>>,
    /// The number of acknowledgements of a user that are not written yet.
    unwritten_acks: Mutex<HashMap<(ProjectId, UserId), usize>>,
    /// Jobs that are enqueued and not completed.
    pending: AtomicUsize,
    /// The free part of [`JOBS_KIB_MAX`].
    free_kib: Semaphore,
    queued_bytes: Gauge,
    up: AtomicBool,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            receiver: OnceLock::new(),
            holders: Mutex::default(),
            unwritten_acks: Mutex::default(),
            pending: AtomicUsize::new(0),
            free_kib: Semaphore::new(JOBS_KIB_MAX as usize),
            queued_bytes: gauge!("switchboard_queue_bytes", "queue" => "inbox_file"),
            up: AtomicBool::new(false),
        }
    }
}

/// The part of [`JOBS_KIB_MAX`] that a job takes, at least 1.
fn kib(job: &Job) -> u32 {
    u32::try_from(job.bytes().div_ceil(1024)).map_or(JOBS_KIB_MAX, |kib| kib.min(JOBS_KIB_MAX))
}

impl Shared {
    fn holders(&self) -> MutexGuard<'_, HashMap<(ProjectId, UserId), SocketId>> {
        self.holders.lock().expect("no code that holds the holders panics")
    }

    fn unwritten_acks(&self) -> MutexGuard<'_, HashMap<(ProjectId, UserId), usize>> {
        self.unwritten_acks.lock().expect("no code that holds the acknowledgements panics")
    }

    pub(crate) fn set_receiver(&self, receiver: Weak<dyn Receiver>) {
        let _ = self.receiver.set(receiver);
    }

    pub(crate) fn receiver(&self) -> Option<Arc<dyn Receiver>> {
        self.receiver.get()?.upgrade()
    }

    /// Waits until there is space for a job. Fails when the writer has ended.
    pub(crate) async fn space_for(&self, job: &Job) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.free_kib.acquire_many(kib(job)).await
    }

    /// `None` if there is no space for a job.
    pub(crate) fn try_space_for(&self, job: &Job) -> Option<SemaphorePermit<'_>> {
        self.free_kib.try_acquire_many(kib(job)).ok()
    }

    /// Enqueues a job, which is pending from now on. A caller that waits for space or for the permit has enqueued
    /// nothing yet and can be cancelled.
    pub(crate) fn enqueue(&self, space: SemaphorePermit<'_>, permit: mpsc::Permit<'_, Job>, job: Job) {
        // `complete` gives the space back.
        space.forget();
        self.pending.fetch_add(1, Ordering::AcqRel);
        permit.send(job);
        self.measure();
    }

    /// Records that jobs were completed.
    pub(crate) fn complete(&self, jobs: usize, kib: usize) {
        self.pending.fetch_sub(jobs, Ordering::AcqRel);
        self.free_kib.add_permits(kib);
        self.measure();
    }

    /// Makes callers that wait for space fail, now and later.
    pub(crate) fn close(&self) {
        self.free_kib.close();
    }

    fn measure(&self) {
        let taken = (JOBS_KIB_MAX as usize).saturating_sub(self.free_kib.available_permits());
        self.queued_bytes.set(taken as f64 * 1024.0);
    }

    /// The part of the bound that some jobs take.
    pub(crate) fn kib_of(jobs: &[Job]) -> usize {
        jobs.iter().map(|job| kib(job) as usize).sum()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn set_is_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// An acknowledgement was enqueued.
    pub(crate) fn add_ack(&self, project: ProjectId, user: UserId) {
        *self.unwritten_acks().entry((project, user)).or_default() += 1;
    }

    /// An acknowledgement was written or has failed.
    pub(crate) fn remove_ack(&self, project: ProjectId, user: UserId) {
        if let Entry::Occupied(mut count) = self.unwritten_acks().entry((project, user)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    pub(crate) fn has_unwritten_acks(&self, project: &ProjectId, user: &UserId) -> bool {
        self.unwritten_acks().contains_key(&(project.clone(), user.clone()))
    }

    /// Makes a socket the holder of an inbox. If another connected socket holds it, returns that one instead.
    pub(crate) fn hold(&self, project: &ProjectId, user: &UserId, socket: SocketId) -> Option<SocketId> {
        let receiver = self.receiver();
        let is_connected = |other: SocketId| receiver.as_ref().is_some_and(|receiver| receiver.has(other));
        let mut holders = self.holders();
        let holder = holders.entry((project.clone(), user.clone())).or_insert(socket);
        if *holder != socket && is_connected(*holder) {
            return Some(*holder);
        }
        *holder = socket;
        None
    }

    /// Ends the ownership of a socket.
    pub(crate) fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        let mut holders = self.holders();
        let key = (project.clone(), user.clone());
        if holders.get(&key) == Some(&socket) {
            holders.remove(&key);
        }
    }

    /// Ends the ownership of an empty inbox.
    pub(crate) fn release_empty(&self, project: &ProjectId, user: &UserId) {
        self.holders().remove(&(project.clone(), user.clone()));
    }

    #[cfg(test)]
    pub(crate) fn poison_holders(&self) {
        let _holders = self.holders();
        panic!("so that the next lock panics");
    }

    #[cfg(test)]
    pub(crate) fn clear_poison_of_holders(&self) {
        self.holders.clear_poison();
    }
}
