//! The options of a worker.

use std::time::Duration;

use switchboard_event::{Name, ProjectId};
use switchboard_redis::worker::WorkerConfig;

/// The options of a [`Worker`](crate::Worker), each with its default.
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
    /// The project of the reported clients; default `default`.
    pub project: ProjectId,
    /// The group. Every group receives every report; its workers share the clients.
    pub group: Name,
    /// Prefix of the worker's id; default `worker`. The rest of the id is random.
    pub name: String,
    /// Maximum number of handlers that [`run`](crate::Worker::run) runs concurrently, each for a different
    /// client; default 256.
    pub concurrency: usize,
    /// How long a claim on clients is valid after its last renewal; default 6 s, at least 300 ms. It is renewed
    /// every third of this time. When it expires, the clients move to other workers.
    pub lease: Duration,
    /// How long reports are stored for a group without workers; default 24 h, at least one lease. Then the group
    /// is deleted together with its reports.
    pub group_retention: Duration,
    /// How long [`leave`](crate::Worker::leave) waits for reports in progress; default 10 s.
    pub leave_timeout: Duration,
}

impl WorkerOptions {
    /// The default options for a worker of `group`.
    pub fn new(group: Name) -> Self {
        WorkerOptions {
            project: ProjectId::new("default").expect("the name is neither empty nor long"),
            group,
            name: "worker".into(),
            concurrency: 256,
            lease: Duration::from_secs(6),
            group_retention: Duration::from_secs(24 * 60 * 60),
            leave_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn config(&self) -> WorkerConfig {
        let lease = self.lease.max(Duration::from_millis(300));
        WorkerConfig {
            project: self.project.clone(),
            group: self.group.clone(),
            worker: format!("{}-{:016x}", self.name, rand::random::<u64>()),
            lease,
            group_retention: self.group_retention.max(lease),
        }
    }
}
