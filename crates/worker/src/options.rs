//! What a worker has to know of itself.

use std::time::Duration;

use switchboard_event::{Name, ProjectId};
use switchboard_redis::work::Place;

/// Which group a worker is of, and how it works.
///
/// ```
/// use switchboard_worker::WorkerOptions;
///
/// # fn main() -> Result<(), switchboard_worker::NameError> {
/// let chat = WorkerOptions::new("chat".try_into()?);
/// let options = WorkerOptions { project: "shop".try_into()?, concurrency: 16, ..chat };
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The project whose clients are reported; default `default`.
    pub project: ProjectId,
    /// The group. Each group gets every report, and each of its workers a share of the clients.
    pub group: Name,
    /// What the worker's id begins with; default `worker`. The rest is random.
    pub name: String,
    /// Most reports that [`run`](crate::Worker::run) has handled at the same time, each another client's;
    /// default 256.
    pub concurrency: usize,
    /// After how long a worker that says nothing is taken for dead and its clients are another's; default
    /// 6 s, at least 300 ms. Renewed three times as often.
    pub lease: Duration,
    /// How long reports are kept for a group without any worker; default 24 h, at least a lease. Then the group is
    /// forgotten, with what waits for it.
    pub group_retention: Duration,
    /// How long [`leave`](crate::Worker::leave) waits for what is being handled; default 10 s.
    pub leave_timeout: Duration,
}

impl WorkerOptions {
    /// A worker of a group, everything else as by default.
    pub fn new(group: Name) -> Self {
        WorkerOptions {
            project: Name::new("default").expect("the name is neither empty nor long"),
            group,
            name: "worker".into(),
            concurrency: 256,
            lease: Duration::from_secs(6),
            group_retention: Duration::from_secs(24 * 60 * 60),
            leave_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn place(&self) -> Place {
        let lease = self.lease.max(Duration::from_millis(300));
        Place {
            project: self.project.clone(),
            group: self.group.clone(),
            worker: format!("{}-{:016x}", self.name, rand::random::<u64>()),
            lease,
            stands: self.group_retention.max(lease),
        }
    }
}
