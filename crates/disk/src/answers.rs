//! Tells those who asked, and those who are here, what is on the disk: in a task, for all of a
//! transaction in one go.
//!
//! Whoever is woken by another task of the runtime is merely queued. The writer's thread would pay a
//! system call for each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_backplane::{Content, Publication, Stored};
use switchboard_event::{Audience, Target};
use tokio::sync::mpsc;

use crate::writer::Job;
use crate::{NotDone, Shared};

/// A transaction that has ended.
pub(crate) struct Written {
    pub(crate) jobs: Vec<Job>,
    /// For each job what became of its message, if it is one; or why nothing was written.
    pub(crate) outcome: Result<Vec<Option<Stored>>, Arc<redb::Error>>,
}

/// Where the writer leaves what it has written.
pub(crate) type Answers = mpsc::UnboundedSender<Written>;

/// Starts the task that answers. It ends when the writer has.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the writer; in it is what somebody waits for, and jobs are bounded"
)]
pub(crate) fn start(shared: Arc<Shared>) -> Answers {
    let (answers, mut written) = mpsc::unbounded_channel::<Written>();
    tokio::spawn(async move {
        while let Some(Written { jobs, outcome }) = written.recv().await {
            let count = jobs.len();
            let mut kept = outcome.map(Vec::into_iter);
            for job in jobs {
                match &mut kept {
                    Ok(kept) => shared.say(job, kept.next().flatten()),
                    Err(error) => shared.refuse(job, error),
                }
                // There may be thousands, and others have their turn.
                tokio::task::coop::consume_budget().await;
            }
            shared.pending.fetch_sub(count, Ordering::AcqRel);
        }
    });
    answers
}

impl Shared {
    /// Says that a job is on the disk. Who asked may have given up.
    fn say(&self, job: Job, kept: Option<Stored>) {
        match (job, kept) {
            (Job::Put { project, users, event, done }, Some(kept)) => {
                if let Some(receiver) = self.receiver() {
                    let to = users.into_iter().map(Target::User).collect();
                    let content = Content::Stored { number: kept.number, event };
                    receiver.receive(Publication {
                        project,
                        audience: Audience { to, except: vec![] },
                        content,
                    });
                }
                let _ = done.send(Ok(kept));
            }
            (Job::Clear { done, .. } | Job::Settle(done), _) => {
                let _ = done.send(Ok(()));
            }
            (Job::Confirm { project, user, .. }, _) => self.confirmed(project, user),
            (Job::Drop { .. }, _) | (Job::Put { .. }, None) => {}
        }
    }

    fn refuse(&self, job: Job, error: &Arc<redb::Error>) {
        let error = NotDone::Disk(error.clone());
        match job {
            Job::Put { done, .. } => drop(done.send(Err(error))),
            Job::Clear { done, .. } | Job::Settle(done) => drop(done.send(Err(error))),
            Job::Confirm { project, user, .. } => self.confirmed(project, user),
            Job::Drop { .. } => {}
        }
    }
}
