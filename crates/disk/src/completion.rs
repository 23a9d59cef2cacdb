//! The task that reports written jobs to their callers and to the node.
//!
//! A task wakes other tasks of its runtime by queueing them. The writer's thread would need a system call for each.

use std::sync::Arc;

use switchboard_backplane::Stored;
use switchboard_backplane::{Content, Publication};
use switchboard_event::{Audience, Target};
use tokio::sync::mpsc;

use crate::error::{FileError, JobError};
use crate::job::Job;
use crate::shared::Shared;

/// A transaction that has ended.
pub(crate) struct Written {
    pub(crate) jobs: Vec<Job>,
    /// For each job the result of its `Put`, if it is one; or the error of the whole transaction.
    pub(crate) outcome: Result<Vec<Option<Stored>>, Arc<FileError>>,
    /// The file works again after an outage.
    pub(crate) ends_outage: bool,
}

pub(crate) type Completions = mpsc::UnboundedSender<Written>;

/// Starts the task. It ends with the writer.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the writer, and the number of jobs in it is bounded"
)]
pub(crate) fn start(shared: Arc<Shared>) -> Completions {
    let (completions, mut written) = mpsc::unbounded_channel::<Written>();
    tokio::spawn(async move {
        while let Some(Written { jobs, outcome, ends_outage }) = written.recv().await {
            let (count, kib) = (jobs.len(), Shared::kib_of(&jobs));
            let mut results = outcome.map(Vec::into_iter);
            for job in jobs {
                match &mut results {
                    Ok(results) => succeed(&shared, job, results.next().flatten()),
                    Err(error) => fail(&shared, job, error),
                }
                // A transaction may have thousands of jobs.
                tokio::task::coop::consume_budget().await;
            }
            shared.complete(count, kib);
            if ends_outage && let Some(receiver) = shared.receiver() {
                // Sockets may have logged in without reading their inbox, and a message may be stored although its
                // transaction failed.
                receiver.missed();
            }
        }
    });
    completions
}

/// Reports a written job. Its caller may have been cancelled.
fn succeed(shared: &Shared, job: Job, stored: Option<Stored>) {
    match (job, stored) {
        (Job::Put { project, users, event, done }, Some(stored)) => {
            if let Some(receiver) = shared.receiver() {
                let to = users.into_iter().map(Target::User).collect();
                let content = Content::Stored { number: stored.number, event };
                let audience = Audience { to, except: vec![] };
                receiver.receive(Publication { project, audience, content });
            }
            let _ = done.send(Ok(stored));
        }
        (Job::Clear { done, .. } | Job::Flush(done), _) => {
            let _ = done.send(Ok(()));
        }
        (Job::Acknowledge { project, user, .. }, _) => shared.remove_ack(project, user),
        (Job::SetAside { .. } | Job::ReadFailed { .. }, _) | (Job::Put { .. }, None) => {}
    }
}

fn fail(shared: &Shared, job: Job, error: &Arc<FileError>) {
    let error = JobError::Write(error.clone());
    match job {
        Job::Put { done, .. } => drop(done.send(Err(error))),
        Job::Clear { done, .. } | Job::Flush(done) => drop(done.send(Err(error))),
        Job::Acknowledge { project, user, .. } => shared.remove_ack(project, user),
        Job::SetAside { .. } | Job::ReadFailed { .. } => {}
    }
}
