//! The inbox file in use, which is replaced after a failure: a database that has failed once refuses everything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{FileError, OpenError, panic_message};
use crate::file::InboxFile;

pub(crate) struct CurrentFile {
    /// `None` for a file in memory.
    path: Option<PathBuf>,
    /// `None` while the file is not open.
    file: RwLock<Option<InboxFile>>,
    generation: AtomicU64,
}

impl CurrentFile {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(CurrentFile::new(Some(path.into()), InboxFile::open(path)?))
    }

    pub(crate) fn in_memory() -> Self {
        CurrentFile::new(None, InboxFile::in_memory())
    }

    fn new(path: Option<PathBuf>, file: InboxFile) -> Self {
        CurrentFile { path, file: RwLock::new(Some(file)), generation: AtomicU64::new(0) }
    }

    /// The path, for log lines.
    pub(crate) fn path(&self) -> String {
        self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Number of times that the file was opened again, or that this was tried.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.read().expect("no code that replaces the file panics").is_some()
    }

    /// Reads or writes the file. After an error it must be [opened again](Self::reopen).
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&InboxFile) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        let file = self.file.read().expect("no code that replaces the file panics");
        let file = file.as_ref().ok_or(FileError::NotOpen)?;
        // Nothing that the work has touched is used after a panic: the file is opened and read again.
        let done = catch_unwind(AssertUnwindSafe(|| work(file)));
        Ok(done.map_err(|panic| FileError::Panic(panic_message(&*panic)))??)
    }

    /// Closes the file once no call uses it, and opens it again. After an error it stays closed.
    pub(crate) fn reopen(&self) -> Result<(), FileError> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let Some(path) = &self.path else { return Ok(()) };
        // Dropped first, because it holds the lock of the file.
        drop(self.replace(None));
        self.replace(Some(InboxFile::open_existing(path)?));
        Ok(())
    }

    fn replace(&self, file: Option<InboxFile>) -> Option<InboxFile> {
        let mut current = self.file.write().expect("no code that replaces the file panics");
        std::mem::replace(&mut current, file)
    }
}
