//! A job for the writer.

use switchboard_backplane::Stored;
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use tokio::sync::oneshot;

use crate::error::JobError;

/// Receives the result of a job.
pub(crate) type Done<T> = oneshot::Sender<Result<T, JobError>>;

pub(crate) enum Job {
    Put {
        project: ProjectId,
        users: Vec<UserId>,
        event: Event,
        done: Done<Stored>,
    },
    Acknowledge {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    Clear {
        project: ProjectId,
        user: UserId,
        done: Done<()>,
    },
    /// Removes entries that cannot be decoded.
    RemoveUnreadable {
        project: ProjectId,
        user: UserId,
        numbers: Vec<MessageNumber>,
    },
    /// Writes nothing. It completes after all jobs before it.
    Flush(Done<()>),
}
