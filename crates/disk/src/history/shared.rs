//! State that the history and its writer share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use switchboard_backplane::{HistoryLimits, MemoryHistory};
use switchboard_event::{Position, ProjectId, RoomName};

/// A room in a project.
pub(super) type RoomKey = (ProjectId, RoomName);

/// State that the history and its writer share.
pub(super) struct Shared {
    pub(super) memory: MemoryHistory,
    is_down: AtomicBool,
    /// Changes with every failure; jobs of an earlier one are void.
    generation: AtomicU64,
    /// Bytes of messages that wait for the disk.
    pub(super) queued_bytes: AtomicUsize,
}

/// Something to write.
pub(super) enum Job {
    Append(AppendJob),
    Clear(RoomKey),
    /// Removes expired messages.
    Sweep,
}

pub(super) struct AppendJob {
    pub(super) generation: u64,
    pub(super) room: RoomKey,
    pub(super) position: Position,
    pub(super) time_ms: u64,
    pub(super) limits: HistoryLimits,
    /// Bytes that count towards the bound of the room.
    pub(super) size: u64,
    pub(super) record: Vec<u8>,
}

impl Shared {
    pub(super) fn new(memory: MemoryHistory) -> Self {
        Shared {
            memory,
            is_down: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
        }
    }

    /// Declares the history unavailable. Returns false if it was.
    pub(super) fn fail(&self) -> bool {
        let was_up = !self.is_down.swap(true, Ordering::SeqCst);
        self.generation.fetch_add(u64::from(was_up), Ordering::SeqCst);
        was_up
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::SeqCst)
    }

    /// The file is empty and can be written: every room begins an epoch.
    pub(super) fn recover(&self) {
        self.memory.clear_all();
        self.is_down.store(false, Ordering::SeqCst);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn taken(&self, job: &AppendJob) {
        self.queued_bytes.fetch_sub(job.record.len(), Ordering::Relaxed);
    }
}
