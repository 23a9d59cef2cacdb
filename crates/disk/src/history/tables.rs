//! The file of a history: a table of rooms, one of messages, and a mark of an orderly stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use switchboard_event::{Epoch, Event, ProjectId, RoomName, Target};
use switchboard_log::limited;

use super::open_error::HistoryOpenError;
use super::record;
use super::shared::RoomKey;
use crate::error::{OpenError, panic_message};

/// Project and room. The value is the epoch, the number of the latest message, and the age at which messages expire.
const ROOMS: TableDefinition<'_, (&str, &str), (u64, u64, u64)> = TableDefinition::new("rooms");

/// Project, room and number. The value is the time of the message and the message.
const MESSAGES: TableDefinition<'_, (&str, &str, u64), (u64, &[u8])> = TableDefinition::new("messages");

/// 1 after an orderly stop.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const STOPPED: &str = "stopped";

/// An open file.
pub(super) struct HistoryFile(Database);

/// The content of a file at the start.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) rooms: Vec<StoredRoom>,
    /// The last process has written everything: epochs continue.
    pub(super) is_whole: bool,
}

pub(super) struct StoredRoom {
    pub(super) key: RoomKey,
    pub(super) epoch: Epoch,
    pub(super) top: u64,
    pub(super) age_max_ms: u64,
    /// The messages with consecutive numbers up to `top`, oldest first.
    pub(super) messages: Vec<StoredRoomMessage>,
}

pub(super) struct StoredRoomMessage {
    pub(super) time_ms: u64,
    pub(super) bytes: usize,
    pub(super) except: Vec<Target>,
    pub(super) event: Event,
}

impl HistoryFile {
    /// Opens a file and reads it. A damaged one is moved aside.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), HistoryOpenError> {
        match HistoryFile::read(path) {
            Ok(opened) => return Ok(opened),
            Err(OpenError::InUse(path)) => return Err(HistoryOpenError::InUse(path)),
            Err(OpenError::Unusable { path, cause }) => {
                return Err(HistoryOpenError::Unusable { path, cause });
            }
            Err(OpenError::Damaged { .. }) => {}
        }
        let aside = PathBuf::from(format!("{}.damaged", path.display()));
        let (shown, moved_to) = (path.display().to_string(), aside.display().to_string());
        limited!(
            WARN,
            path = shown,
            moved_to,
            "history file is damaged, or is not a history; it is moved aside, and every room begins anew"
        );
        let unusable = |cause| HistoryOpenError::Unusable { path: path.into(), cause };
        std::fs::rename(path, &aside).map_err(|error| unusable(redb::Error::Io(error)))?;
        HistoryFile::read(path).map_err(|error| match error {
            OpenError::InUse(path) => HistoryOpenError::InUse(path),
            OpenError::Damaged { path, cause } | OpenError::Unusable { path, cause } => {
                HistoryOpenError::Unusable { path, cause }
            }
        })
    }

    /// Opens a file, reads it, and removes the mark of the last stop.
    fn read(path: &Path) -> Result<(Self, Contents), OpenError> {
        // The database panics on some damaged files.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Database::builder();
            builder.set_check_integrity_on_open(true);
            let file = HistoryFile(builder.create(path)?);
            let contents = file.contents()?;
            file.write(|tables| tables.set_stopped(false))?;
            Ok::<_, redb::Error>((file, contents))
        }));
        let opened = opened.unwrap_or_else(|panic| Err(redb::Error::Corrupted(panic_message(&*panic))));
        opened.map_err(|error| OpenError::new(path, error))
    }

    /// Opens a file again after a failure, and empties it.
    pub(super) fn open_empty(path: &Path) -> Result<Self, redb::Error> {
        let file = HistoryFile(Database::builder().create(path)?);
        file.write(|tables| tables.remove_all())?;
        Ok(file)
    }

    /// Runs `work` in one transaction, which is durable when this returns.
    pub(super) fn write(
        &self,
        work: impl FnOnce(&Tables<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        work(&Tables(&transaction))?;
        Ok(transaction.commit()?)
    }

    fn contents(&self) -> Result<Contents, redb::Error> {
        // Makes the tables.
        self.write(|tables| {
            tables.0.open_table(ROOMS)?;
            tables.0.open_table(MESSAGES)?;
            tables.0.open_table(META)?;
            Ok(())
        })?;
        let transaction = self.0.begin_read()?;
        let messages = transaction.open_table(MESSAGES)?;
        let is_whole = transaction.open_table(META)?.get(STOPPED)?.is_some_and(|value| value.value() == 1);
        let mut rooms = Vec::new();
        for entry in transaction.open_table(ROOMS)?.iter()? {
            let (key, value) = entry?;
            let (project, room) = key.value();
            let (epoch, top, age_max_ms) = value.value();
            let (Ok(project), Ok(room)) = (ProjectId::new(project), RoomName::new(room)) else { continue };
            let mut kept = Vec::new();
            let mut next = None;
            for entry in
                messages.range::<(&str, &str, u64)>((&*project, &*room, 0)..=(&*project, &*room, top))?
            {
                let (key, value) = entry?;
                let (number, (time_ms, bytes)) = (key.value().2, value.value());
                // A hole or an unreadable message: only what follows is of use.
                if next != Some(number) {
                    kept.clear();
                }
                next = Some(number + 1);
                match record::decode(bytes) {
                    Some((except, event)) => {
                        kept.push(StoredRoomMessage { time_ms, bytes: bytes.len(), except, event });
                    }
                    None => next = None,
                }
            }
            if next != Some(top + 1) {
                kept.clear();
            }
            let key = (project, room);
            rooms.push(StoredRoom { key, epoch: Epoch(epoch), top, age_max_ms, messages: kept });
        }
        Ok(Contents { rooms, is_whole })
    }
}

/// The tables in a transaction.
pub(super) struct Tables<'t>(&'t WriteTransaction);

impl Tables<'_> {
    pub(super) fn set_room(
        &self,
        (project, room): &RoomKey,
        epoch: Epoch,
        top: u64,
        age_max_ms: u64,
    ) -> Result<(), redb::Error> {
        self.0.open_table(ROOMS)?.insert((&**project, &**room), (epoch.0, top, age_max_ms))?;
        Ok(())
    }

    pub(super) fn insert(
        &self,
        (project, room): &RoomKey,
        number: u64,
        time_ms: u64,
        message: &[u8],
    ) -> Result<(), redb::Error> {
        self.0.open_table(MESSAGES)?.insert((&**project, &**room, number), (time_ms, message))?;
        Ok(())
    }

    /// Removes the messages of a room with numbers below this.
    pub(super) fn remove_before(&self, (project, room): &RoomKey, number: u64) -> Result<(), redb::Error> {
        let range = (&**project, &**room, 0)..(&**project, &**room, number);
        self.0.open_table(MESSAGES)?.retain_in(range, |_, _| false)?;
        Ok(())
    }

    pub(super) fn remove_room(&self, key: &RoomKey) -> Result<(), redb::Error> {
        self.remove_before(key, u64::MAX)?;
        self.0.open_table(ROOMS)?.remove((&*key.0, &*key.1))?;
        Ok(())
    }

    pub(super) fn set_stopped(&self, is_stopped: bool) -> Result<(), redb::Error> {
        self.0.open_table(META)?.insert(STOPPED, u64::from(is_stopped))?;
        Ok(())
    }

    fn remove_all(&self) -> Result<(), redb::Error> {
        self.0.delete_table(ROOMS)?;
        self.0.delete_table(MESSAGES)?;
        self.0.open_table(ROOMS)?;
        self.0.open_table(MESSAGES)?;
        self.set_stopped(false)
    }
}
