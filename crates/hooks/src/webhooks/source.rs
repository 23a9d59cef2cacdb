//! Where a sender takes reports from: the queue of this node, or the streams in Redis.

use std::sync::Arc;

use switchboard_worker::{Job, Worker};
use tokio::time::{Instant, timeout_at};

use super::batch::{Batch, EncodedReport, GATHER_TIME, REPORTS_MAX};
use super::event_kind::EventKind;
use super::filter::Filter;
use super::local_queue::LocalQueue;

/// The source of one sender.
#[derive(Clone)]
pub(crate) enum Source {
    Local { queue: Arc<LocalQueue>, lane: usize },
    Redis(Worker),
}

impl Source {
    /// The next reports, once there are some. `None` once the worker leaves its group.
    pub(crate) async fn next(&self, filter: &Filter, body_bytes_max: usize) -> Option<Batch> {
        match self {
            Source::Local { queue, lane } => Some(queue.next(*lane, body_bytes_max).await),
            Source::Redis(worker) => gather(worker, filter, body_bytes_max).await,
        }
    }

    /// Removes the reports of a batch, which were delivered or dropped.
    pub(crate) fn complete(&self, batch: Batch) {
        match self {
            Source::Local { queue, lane } => queue.remove(*lane, batch.taken),
            Source::Redis(_) => batch.jobs.into_iter().for_each(Job::ack),
        }
    }
}

/// Gathers reports, of each client in order.
async fn gather(worker: &Worker, filter: &Filter, body_bytes_max: usize) -> Option<Batch> {
    let mut batch = Batch { reports: Vec::new(), taken: 0, jobs: Vec::new() };
    let (mut bytes, mut deadline) = (0, None);
    while batch.jobs.len() < REPORTS_MAX && bytes < body_bytes_max {
        let following = batch.jobs.last().and_then(Job::following);
        let next = match (following, deadline) {
            (Some(job), _) => Some(job),
            (None, None) => worker.next().await,
            (None, Some(deadline)) => match timeout_at(deadline, worker.next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        let Some(job) = next else { break };
        let report = job.report();
        let Some(kind) = EventKind::of(&report.action).filter(|_| filter.takes(report)) else {
            job.ack();
            continue;
        };
        let encoded = EncodedReport::new(job.id(), kind, report);
        bytes += encoded.json.len();
        batch.reports.push(encoded);
        batch.jobs.push(job);
        deadline.get_or_insert_with(|| Instant::now() + GATHER_TIME);
    }
    (!batch.jobs.is_empty()).then_some(batch)
}
