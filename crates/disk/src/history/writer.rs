//! The thread that writes the history: each transaction has the jobs that were queued during the one before.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use switchboard_event::{Epoch, Position, SocketId};
use switchboard_log::{limited, printable_error};

use super::room_index::RoomIndex;
use super::shared::{AppendJob, Job, RoomKey, Shared};
use super::tables::{Contents, HistoryFile, StoredRoom, StoredRoomMessage, Tables};

/// Most jobs in one transaction.
const JOBS_MAX: usize = 4096;

/// The pause before a failed file is opened again: at first, and at last. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    path: PathBuf,
    file: Option<HistoryFile>,
    shared: Arc<Shared>,
    clock: fn() -> u64,
    /// Bytes of all messages in the file; at the bound the rooms that were not used for longest are removed.
    bytes_max: usize,
    bytes: usize,
    rooms: HashMap<RoomKey, RoomIndex>,
}

/// The changes of a batch of jobs.
#[derive(Default)]
struct Changes {
    rooms: HashSet<RoomKey>,
}

impl Writer {
    /// Fills the memory from the file.
    pub(super) fn new(
        path: &Path,
        file: HistoryFile,
        shared: Arc<Shared>,
        clock: fn() -> u64,
        bytes_max: usize,
        contents: Contents,
    ) -> Self {
        let mut writer = Writer {
            path: path.into(),
            file: Some(file),
            shared,
            clock,
            bytes_max,
            bytes: 0,
            rooms: HashMap::new(),
        };
        let Contents { rooms, is_whole } = contents;
        if !is_whole && !rooms.is_empty() {
            limited!(
                INFO,
                path = path.display().to_string(),
                "last process did not close the history file; every room begins an epoch"
            );
        }
        rooms.into_iter().for_each(|room| writer.restore(room, is_whole));
        writer
    }

    fn restore(&mut self, room: StoredRoom, is_whole: bool) {
        let StoredRoom { key, epoch, top, age_max_ms, messages } = room;
        let epoch = if is_whole { epoch } else { Epoch(SocketId::random().spread()) };
        let mut index = RoomIndex::new(epoch, top - messages.len() as u64, age_max_ms);
        let restored = messages.into_iter().map(|StoredRoomMessage { time_ms, bytes, except, event }| {
            index.push(time_ms, (event.name.len() + event.data.as_bytes().len()) as u64, bytes);
            (time_ms, event, except)
        });
        let top = Position { epoch, offset: top };
        self.shared.memory.restore((&key.0, &key.1), top, age_max_ms, restored.collect::<Vec<_>>());
        self.bytes += index.bytes();
        self.rooms.insert(key, index);
    }

    /// Writes until the sender is dropped, and then marks an orderly stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(JOBS_MAX)).collect();
            if !self.shared.is_down()
                && let Err(error) = self.write(&batch)
            {
                self.shared.fail();
                limited!(
                    WARN,
                    path = self.path.display().to_string(),
                    error = printable_error(&error),
                    "history file cannot be written; messages have no positions until it can"
                );
            }
            batch.iter().for_each(|job| self.taken(job));
            if self.shared.is_down() && !self.recover(jobs) {
                return;
            }
        }
        self.stop();
    }

    fn taken(&self, job: &Job) {
        if let Job::Append(job) = job {
            self.shared.taken(job);
        }
    }

    fn write(&mut self, batch: &[Job]) -> Result<(), redb::Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let mut changes = Changes::default();
        let written = file.write(|tables| {
            for job in batch {
                match job {
                    Job::Append(job) => self.append(tables, job, &mut changes)?,
                    Job::Clear(key) => self.remove(tables, key, &mut changes)?,
                    Job::Sweep => self.sweep(tables, &mut changes)?,
                }
            }
            self.evict(tables, &mut changes)?;
            self.write_rooms(tables, &changes.rooms)
        });
        self.file = Some(file);
        written
    }

    fn append(
        &mut self,
        tables: &Tables<'_>,
        job: &AppendJob,
        changes: &mut Changes,
    ) -> Result<(), redb::Error> {
        let AppendJob { generation, room: key, position, time_ms, limits, size, record } = job;
        if *generation != self.shared.generation() {
            return Ok(());
        }
        if self.rooms.get(key).is_some_and(|room| room.epoch != position.epoch) {
            self.remove(tables, key, changes)?;
        }
        let begin = || RoomIndex::new(position.epoch, position.offset - 1, limits.age_max_ms);
        let room = self.rooms.entry(key.clone()).or_insert_with(begin);
        let (bytes, first) = (room.bytes(), room.first());
        room.push(*time_ms, *size, record.len());
        room.trim(limits, (self.clock)());
        if room.first() <= position.offset {
            tables.insert(key, position.offset, *time_ms, record)?;
        }
        if room.first() > first {
            tables.remove_before(key, room.first())?;
        }
        self.bytes = self.bytes - bytes + room.bytes();
        changes.rooms.insert(key.clone());
        Ok(())
    }

    fn remove(
        &mut self,
        tables: &Tables<'_>,
        key: &RoomKey,
        changes: &mut Changes,
    ) -> Result<(), redb::Error> {
        if let Some(room) = self.rooms.remove(key) {
            self.bytes -= room.bytes();
            changes.rooms.remove(key);
            tables.remove_room(key)?;
        }
        Ok(())
    }

    /// Removes expired messages.
    fn sweep(&mut self, tables: &Tables<'_>, changes: &mut Changes) -> Result<(), redb::Error> {
        let now_ms = (self.clock)();
        let mut emptied = Vec::new();
        for (key, room) in &mut self.rooms {
            let (bytes, first) = (room.bytes(), room.first());
            room.expire(now_ms);
            if room.first() > first {
                tables.remove_before(key, room.first())?;
                changes.rooms.insert(key.clone());
            }
            self.bytes = self.bytes - bytes + room.bytes();
            if room.is_empty() {
                emptied.push(key.clone());
            }
        }
        // A room without messages begins an epoch after a restart.
        emptied.iter().try_for_each(|key| self.remove(tables, key, changes))
    }

    /// Removes rooms that were not used for longest, until the file keeps its bound.
    fn evict(&mut self, tables: &Tables<'_>, changes: &mut Changes) -> Result<(), redb::Error> {
        while self.bytes > self.bytes_max {
            let oldest = self.rooms.iter().min_by_key(|(_, room)| room.latest_ms());
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.remove(tables, &key, changes)?;
        }
        Ok(())
    }

    fn write_rooms<'a>(
        &self,
        tables: &Tables<'_>,
        keys: impl IntoIterator<Item = &'a RoomKey>,
    ) -> Result<(), redb::Error> {
        for key in keys {
            if let Some(room) = self.rooms.get(key) {
                tables.set_room(key, room.epoch, room.top, room.age_max_ms)?;
            }
        }
        Ok(())
    }

    /// Opens the file again until it can be written, and empties it. Returns false if the history was closed meanwhile.
    fn recover(&mut self, jobs: &Receiver<Job>) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            // Dropped first, because it holds the lock of the file.
            self.file = None;
            self.rooms.clear();
            self.bytes = 0;
            if !self.wait(jobs, pause) {
                return false;
            }
            if let Ok(file) = HistoryFile::open_empty(&self.path) {
                self.file = Some(file);
                self.shared.recover();
                limited!(
                    INFO,
                    path = self.path.display().to_string(),
                    "history file can be written again; every room begins an epoch"
                );
                return true;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Drops jobs for a while. Returns false if the history is closed.
    fn wait(&self, jobs: &Receiver<Job>, pause: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(50);
        for _ in 0..pause.as_millis() / STEP.as_millis() {
            thread::sleep(STEP);
            loop {
                match jobs.recv_timeout(Duration::ZERO) {
                    Ok(job) => self.taken(&job),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return false,
                }
            }
        }
        true
    }

    /// Marks an orderly stop, after which a start continues all epochs.
    fn stop(&self) {
        let Some(file) = self.file.as_ref().filter(|_| !self.shared.is_down()) else { return };
        let stopped = file.write(|tables| {
            self.write_rooms(tables, self.rooms.keys())?;
            tables.set_stopped(true)
        });
        if let Err(error) = stopped {
            limited!(
                WARN,
                path = self.path.display().to_string(),
                error = printable_error(&error),
                "history file cannot be closed; every room begins an epoch at the next start"
            );
        }
    }
}
