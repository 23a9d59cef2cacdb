//! A job for the writer.

use std::sync::Arc;

use switchboard_backplane::Stored;
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use tokio::sync::oneshot;

use crate::error::{FileError, JobError};

/// Approximate overhead of a job in bytes, and of each of its users.
const OVERHEAD: usize = 256;
const USER_OVERHEAD: usize = 32;

/// Receives the result of a job.
pub(crate) type ResultSender<T> = oneshot::Sender<Result<T, JobError>>;

pub(crate) enum Job {
    Put {
        project: ProjectId,
        users: Vec<UserId>,
        event: Event,
        done: ResultSender<Stored>,
    },
    Acknowledge {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    Clear {
        project: ProjectId,
        user: UserId,
        done: ResultSender<()>,
    },
    /// Moves entries that cannot be decoded out of the inbox.
    SetAside {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    /// Opens the file again because a read has failed, unless that has happened since.
    ReadFailed {
        error: Arc<FileError>,
        /// The [generation](crate::current_file::CurrentFile::generation) of the file that was read.
        generation: u64,
    },
    /// Writes nothing. It completes after all jobs before it.
    Flush(ResultSender<()>),
}

impl Job {
    /// Approximate size in the queue.
    pub(crate) fn bytes(&self) -> usize {
        let content = match self {
            Job::Put { users, event, .. } => USER_OVERHEAD * users.len() + event.data.as_bytes().len(),
            Job::Acknowledge { numbers, .. } | Job::SetAside { numbers, .. } => size_of_val(&**numbers),
            Job::Clear { .. } | Job::ReadFailed { .. } | Job::Flush(_) => 0,
        };
        OVERHEAD + content
    }
}
