//! The history of rooms in a file, for a node without Redis.
//!
//! Messages are numbered, kept and delivered in memory, as by [`MemoryHistory`]; one thread writes them to the file
//! afterwards, many in a transaction. A restart after an orderly stop continues all epochs. After a crash, or if the file was lost
//! or damaged, every room begins an epoch, because the newest messages may not have been written.
//!
//! After a failed write, or if the disk is too slow, messages are delivered without positions and nothing can be read. When
//! the file can be written again it is emptied, and every room begins an epoch.

mod open_error;
mod record;
mod room_index;
mod shared;
mod tables;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use switchboard_backplane::{
    AppendOutcome, BackplaneError, BackplaneFuture, History, HistoryLimits, HistoryPage, HistoryRange,
    HistoryUsage, MemoryHistory, MemoryHistoryLimits, RoomMessage,
};
use switchboard_event::{Position, ProjectId, RoomName};
use switchboard_log::limited;

pub use open_error::HistoryOpenError;
use shared::{AppendJob, Job, Shared};
use tables::HistoryFile;
use writer::Writer;

/// Bytes of messages that may wait for the disk. At the bound the history is unavailable until they are written.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The history cannot be read or written at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the file of the history cannot be written; its messages are not read meanwhile")]
struct Unavailable;

/// Keeps the history of rooms in memory and in a file.
pub struct DiskHistory {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl DiskHistory {
    /// Opens the file of a history, or creates it. A damaged file is renamed to a name that ends in `.damaged`, and an empty
    /// one takes its place. `clock` returns milliseconds since 1970.
    ///
    /// ```
    /// use switchboard_backplane::MemoryHistoryLimits;
    /// use switchboard_disk::DiskHistory;
    ///
    /// # let directory = switchboard_testkit::Scratch::new();
    /// # let path = directory.file("history.redb");
    /// let history = DiskHistory::open(path.as_ref(), MemoryHistoryLimits::default(), || 0)?;
    /// // An app uses it after `App::with_history(Arc::new(history))`.
    /// # Ok::<(), switchboard_disk::HistoryOpenError>(())
    /// ```
    pub fn open(
        path: &Path,
        limits: MemoryHistoryLimits,
        clock: fn() -> u64,
    ) -> Result<Self, HistoryOpenError> {
        let (file, contents) = HistoryFile::open(path)?;
        let memory = MemoryHistory::new(limits, clock);
        let shared = Arc::new(Shared::new(memory));
        let writer = Writer::new(path, file, shared.clone(), clock, limits.bytes_max, contents);
        let (jobs, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("history".into()).spawn(move || writer.run(&receiver));
        let thread = thread.map_err(|error| HistoryOpenError::Unusable {
            path: path.into(),
            cause: redb::Error::Io(error),
        })?;
        Ok(DiskHistory { shared, jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(thread)) })
    }

    /// Returns false if the history is closed.
    fn push(&self, job: Job) -> bool {
        let jobs = self.jobs.lock().expect("no code that holds the sender panics");
        jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl Drop for DiskHistory {
    fn drop(&mut self) {
        self.close();
    }
}

impl History for DiskHistory {
    fn append(
        &self,
        message: RoomMessage<'_>,
        limits: &HistoryLimits,
        deliver: &mut dyn FnMut(Position),
    ) -> AppendOutcome {
        let generation = self.shared.generation();
        if self.shared.is_down() {
            return AppendOutcome::Unavailable;
        }
        let mut record = record::encode(&message);
        let bytes = record.len();
        if self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            if self.shared.fail() {
                limited!(
                    WARN,
                    "disk is too slow for the history; messages have no positions until it has caught up"
                );
                // Wakes the writer.
                self.push(Job::Sweep);
            }
            return AppendOutcome::Unavailable;
        }
        let room = (message.project.clone(), message.room.clone());
        self.shared.memory.append_at(message, limits, &mut |position, time_ms| {
            let record = std::mem::take(&mut record);
            let (limits, size, room) = (*limits, message.size(), room.clone());
            let job = AppendJob { generation, room, position, time_ms, limits, size, record };
            if !self.push(Job::Append(job)) {
                self.shared.fail();
            }
            deliver(position);
        });
        AppendOutcome::Delivered
    }

    fn read<'a>(
        &'a self,
        project: &'a ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
        range: HistoryRange,
        limit: usize,
    ) -> BackplaneFuture<'a, HistoryPage> {
        // After a failure, memory does not have every message.
        if self.shared.is_down() {
            return Box::pin(std::future::ready(Err(BackplaneError(Box::new(Unavailable)))));
        }
        self.shared.memory.read(project, room, limits, range, limit)
    }

    fn with_top(&self, project: &ProjectId, room: &RoomName, visit: &mut dyn FnMut(Position)) -> bool {
        !self.shared.is_down() && self.shared.memory.with_top(project, room, visit)
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, room: &'a RoomName) -> BackplaneFuture<'a, ()> {
        let cleared = self.shared.memory.clear(project, room);
        self.push(Job::Clear((project.clone(), room.clone())));
        cleared
    }

    fn sweep(&self) {
        self.shared.memory.sweep();
        self.push(Job::Sweep);
    }

    fn usage(&self) -> HistoryUsage {
        self.shared.memory.usage()
    }

    fn is_up(&self) -> bool {
        !self.shared.is_down()
    }

    fn close(&self) {
        drop(self.jobs.lock().expect("no code that holds the sender panics").take());
        if let Some(writer) = self.writer.lock().expect("as above").take() {
            let _ = writer.join();
        }
        self.shared.fail();
    }
}

#[cfg(test)]
mod tests;
