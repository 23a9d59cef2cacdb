//! The errors of the disk inbox.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard_backplane::BackplaneError;

/// Why an inbox file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has opened the file.
    #[error("inbox file {0} is in use by another process")]
    InUse(PathBuf),
    /// The file is damaged, or is not an inbox. Its messages cannot be read.
    #[error(
        "inbox file {path} is damaged, or is not an inbox; to start with an empty inbox move it aside, \
         for example to {path}.damaged: the messages in it are then not delivered"
    )]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        cause: redb::Error,
    },
    /// The file cannot be created, read or written.
    #[error("inbox file {path} cannot be opened")]
    Unusable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        cause: redb::Error,
    },
}

impl OpenError {
    pub(crate) fn new(path: &Path, error: impl Into<redb::Error>) -> Self {
        let path = path.into();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path),
            cause if is_damage(&cause) => OpenError::Damaged { path, cause },
            cause => OpenError::Unusable { path, cause },
        }
    }
}

/// Whether an error is about the contents of the file. The others are about access to it.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        _ => false,
    }
}

/// Why the open inbox file could not be used. It is then opened again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Database(#[from] redb::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database panics on some damaged files.
    #[error("access to the file panicked: {0}")]
    Panic(String),
    #[error("the file is not open")]
    NotOpen,
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").into()
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("inbox is closed, or the runtime in which it was opened has ended")]
    Closed,
    #[error("inbox file cannot be written")]
    Write(#[source] Arc<FileError>),
    #[error("inbox file cannot be read")]
    Read(#[source] Arc<FileError>),
}

impl From<JobError> for BackplaneError {
    fn from(error: JobError) -> Self {
        BackplaneError(Box::new(error))
    }
}
