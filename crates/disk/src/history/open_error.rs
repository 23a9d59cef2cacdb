//! Why a history on disk does not open.

use std::path::PathBuf;

/// Why the file of a history could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryOpenError {
    /// Another process has opened the file.
    #[error("history file {0} is in use by another process")]
    InUse(PathBuf),
    /// The file cannot be created, read or written.
    #[error("history file {path} cannot be opened")]
    Unusable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        cause: redb::Error,
    },
}
