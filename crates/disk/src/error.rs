//! The errors of the disk inbox.

use std::path::PathBuf;
use std::sync::Arc;

use switchboard_backplane::StoreError;

/// Why an inbox file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has opened the file.
    #[error("inbox file {0} is in use by another process")]
    InUse(PathBuf),
    /// The file is not an inbox, is damaged, or is not writable.
    #[error("inbox file {path} cannot be opened")]
    Unusable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        cause: redb::Error,
    },
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("inbox is closed, or the runtime in which it was opened has ended")]
    Closed,
    #[error("inbox file cannot be written")]
    Write(#[source] Arc<redb::Error>),
    #[error("inbox file cannot be read")]
    Read(#[source] redb::Error),
}

impl From<JobError> for StoreError {
    fn from(error: JobError) -> Self {
        StoreError(Box::new(error))
    }
}
