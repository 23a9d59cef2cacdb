//! The reports of webhooks on a node without Redis, in a file of their own.
//!
//! The queues of the node are in memory, and the file is a copy of them: it is read at the start only. Changes are
//! written in batches, each in one durable transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use switchboard_backplane::ReportId;
use switchboard_event::NodeId;

use crate::error::panic_message;

/// Endpoint and number of a report in its queue. The value is the report's id in two parts, its time, the spread of its
/// socket, and its JSON.
type Key = (&'static str, u64);
type Value = (u32, u64, u64, u64, &'static [u8]);
const REPORTS: TableDefinition<'_, Key, Value> = TableDefinition::new("webhook_reports");

/// Bytes of the file that are kept in memory.
const CACHE_BYTES: usize = 1024 * 1024;

/// The place of a report: its endpoint, and its number in the endpoint's queue.
pub type ReportPlace = (Arc<str>, u64);

/// A report in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Identifies the report.
    pub id: ReportId,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: u64,
    /// The [spread](switchboard_event::SocketId::spread) of its socket.
    pub spread: u64,
    /// The report as the endpoint receives it.
    pub json: Bytes,
}

/// Why the file of reports cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "webhook file {path} cannot be used; if it is damaged, move it aside: the reports in it are then not sent"
)]
pub struct ReportFileError {
    /// The path of the file.
    pub path: PathBuf,
    /// The error of the database.
    #[source]
    pub cause: redb::Error,
}

/// An open file. One process at a time can open it.
pub struct ReportFile {
    path: PathBuf,
    /// `None` after a failure: a database that has failed once refuses everything.
    database: Mutex<Option<Database>>,
}

impl ReportFile {
    /// Opens the file, or creates it. Verifies the checksums of the whole file.
    pub fn open(path: &Path) -> Result<Self, ReportFileError> {
        let file = ReportFile { path: path.into(), database: Mutex::new(None) };
        file.with(|builder| builder.create(path), |_| Ok(()))?;
        Ok(file)
    }

    /// The path, for log lines.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All reports in the order of their places. Waits for the disk.
    pub fn load(&self) -> Result<Vec<(ReportPlace, StoredReport)>, ReportFileError> {
        self.with(|builder| builder.open(&self.path), read_all)
    }

    /// Writes each report to its place; `None` removes the report at a place. Waits for the disk: when this returns, the
    /// changes are durable. After an error the changes may have been written or not, and the next call opens the file
    /// again.
    pub fn write<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a ReportPlace, &'a Option<StoredReport>)>,
    ) -> Result<(), ReportFileError> {
        self.with(|builder| builder.open(&self.path), |database| write_all(database, changes))
    }

    /// Uses the database. `open` opens it if it is not open.
    fn with<T>(
        &self,
        open: impl FnOnce(&Builder) -> Result<Database, DatabaseError>,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, ReportFileError> {
        // A poisoned lock is harmless: a panic leaves no database in it.
        let mut current = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let open_database = current.take();
        // The database panics on some damaged files.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let database = match open_database {
                Some(database) => database,
                None => open(&builder)?,
            };
            let result = work(&database)?;
            Ok::<_, redb::Error>((database, result))
        }));
        let done = done.unwrap_or_else(|panic| Err(redb::Error::Corrupted(panic_message(&*panic))));
        let (database, result) = done.map_err(|cause| ReportFileError { path: self.path.clone(), cause })?;
        *current = Some(database);
        Ok(result)
    }
}

fn read_all(database: &Database) -> Result<Vec<(ReportPlace, StoredReport)>, redb::Error> {
    let table = match database.begin_read()?.open_table(REPORTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut reports: Vec<(ReportPlace, StoredReport)> = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let ((endpoint, number), (node, id, time_ms, spread, json)) = (key.value(), value.value());
        let same = reports.last().map(|((endpoint, _), _)| endpoint).filter(|last| ***last == *endpoint);
        let endpoint = same.map_or_else(|| endpoint.into(), Arc::clone);
        let id = ReportId { node: NodeId(node), number: id };
        let json = Bytes::copy_from_slice(json);
        reports.push(((endpoint, number), StoredReport { id, time_ms, spread, json }));
    }
    Ok(reports)
}

fn write_all<'a>(
    database: &Database,
    changes: impl IntoIterator<Item = (&'a ReportPlace, &'a Option<StoredReport>)>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(REPORTS)?;
        for ((endpoint, number), change) in changes {
            let key = (&**endpoint, *number);
            match change {
                Some(StoredReport { id, time_ms, spread, json }) => {
                    table.insert(key, (id.node.0, id.number, *time_ms, *spread, &**json))?;
                }
                None => drop(table.remove(key)?),
            }
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::Scratch;

    use super::*;

    fn stored(number: u64) -> StoredReport {
        let id = ReportId { node: NodeId(7), number };
        StoredReport { id, time_ms: number, spread: number, json: format!("[{number}]").into() }
    }

    fn put(endpoint: &str, number: u64) -> (ReportPlace, Option<StoredReport>) {
        ((endpoint.into(), number), Some(stored(number)))
    }

    fn write(file: &ReportFile, changes: &[(ReportPlace, Option<StoredReport>)]) {
        file.write(changes.iter().map(|(place, change)| (place, change))).unwrap();
    }

    #[test]
    fn reports_are_in_the_file_in_order_until_they_are_removed() {
        let scratch = Scratch::new();
        let path = scratch.file("hooks.redb");
        let file = ReportFile::open(path.as_ref()).unwrap();
        assert_eq!(file.load().unwrap(), []);
        write(&file, &[put("b", 300), put("a", 2), put("a", 1), put("a", 256)]);
        write(&file, &[(("a".into(), 2), None), (("a".into(), 9), None)]);
        drop(file);
        let file = ReportFile::open(path.as_ref()).unwrap();
        let expected = [put("a", 1), put("a", 256), put("b", 300)];
        assert_eq!(file.load().unwrap(), expected.map(|(place, report)| (place, report.unwrap())));
    }

    #[test]
    fn a_file_that_another_has_opened_or_that_is_no_database_is_refused_with_its_path() {
        let scratch = Scratch::new();
        let (path, text) = (scratch.file("hooks.redb"), scratch.file("text"));
        let _file = ReportFile::open(path.as_ref()).unwrap();
        std::fs::write(&text, "no database, but longer than the head of one".repeat(100)).unwrap();
        for path in [path, text, scratch.file("no/folder")] {
            let error = ReportFile::open(path.as_ref()).err().expect("it is refused");
            assert!(error.to_string().contains(&path), "{error}");
        }
    }

    #[test]
    fn after_a_failure_the_file_is_opened_again() {
        let scratch = Scratch::new();
        let path = scratch.file("hooks.redb");
        let file = ReportFile::open(path.as_ref()).unwrap();
        write(&file, &[put("a", 1)]);
        let failed: Result<(), _> =
            file.with(|_| unreachable!("it is open"), |_| panic!("as a damaged file"));
        assert!(failed.unwrap_err().cause.to_string().contains("as a damaged file"));
        let (first, moved) = (&path, scratch.file("moved"));
        std::fs::rename(first, &moved).unwrap();
        assert!(file.load().is_err(), "a new file would hide the reports in the other");
        std::fs::rename(&moved, first).unwrap();
        assert_eq!(file.load().unwrap().len(), 1);
    }
}
