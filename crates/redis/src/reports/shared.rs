//! State that the report sink shares with the task that sends reports.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use switchboard_backplane::WorkerListener;
use switchboard_event::{Name, ProjectId};
use tokio::sync::{Notify, watch};

use super::direct::DirectReceivers;
use super::queue::ReportQueue;
use crate::context::Context;
use crate::names::Names;
use crate::options::ReportOptions;

pub(super) struct ReportsShared {
    pub(super) context: Arc<Context>,
    /// Names of the streams.
    pub(super) names: Names,
    pub(super) options: ReportOptions,
    pub(super) direct: Option<Arc<dyn DirectReceivers>>,
    queue: Mutex<ReportQueue>,
    receivers: Mutex<Receivers>,
    /// Redis has announced a change of a group that the sender has not seen yet.
    pub(super) groups_changed: AtomicBool,
    /// Wakes the sender.
    pub(super) wake: Notify,
    pub(super) on_change: OnceLock<WorkerListener>,
    pub(super) is_up: watch::Sender<bool>,
    /// Number of the last report that was sent.
    pub(super) sent: watch::Sender<u64>,
}

/// Current receivers of reports.
#[derive(Default)]
pub(super) struct Receivers {
    /// By project, the workers of each group.
    pub(super) groups: HashMap<ProjectId, HashMap<String, Vec<String>>>,
    /// Receivers that are no worker groups.
    pub(super) direct: Vec<String>,
}

/// A receiver as an application sees it: project, group, id.
pub(super) type ReceiverKey = (ProjectId, Option<Name>, String);

impl ReportsShared {
    pub(super) fn new(
        context: Arc<Context>,
        names: Names,
        queue: ReportQueue,
        options: ReportOptions,
        direct: Option<Arc<dyn DirectReceivers>>,
    ) -> Self {
        ReportsShared {
            context,
            names,
            options,
            direct,
            queue: Mutex::new(queue),
            receivers: Mutex::default(),
            groups_changed: AtomicBool::new(false),
            wake: Notify::new(),
            on_change: OnceLock::new(),
            is_up: watch::Sender::new(false),
            sent: watch::Sender::new(0),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, ReportQueue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn receivers(&self) -> MutexGuard<'_, Receivers> {
        self.receivers.lock().expect("no code that holds the receivers panics")
    }

    /// All current receivers.
    pub(super) fn receiver_keys(&self) -> BTreeSet<ReceiverKey> {
        let receivers = self.receivers();
        let workers = receivers.groups.iter().flat_map(|(project, groups)| {
            groups.iter().flat_map(move |(group, workers)| {
                let group = Name::new(group).ok();
                workers.iter().map(move |worker| (project.clone(), group.clone(), worker.clone()))
            })
        });
        let direct = self.direct.iter().flat_map(|direct| {
            receivers.direct.iter().map(|id| (direct.project().clone(), None, id.clone()))
        });
        workers.chain(direct).collect()
    }
}

impl Receivers {
    pub(super) fn has_group(&self, project: &ProjectId) -> bool {
        self.groups.get(project).is_some_and(|groups| !groups.is_empty())
    }

    pub(super) fn has_worker(&self, project: &ProjectId) -> bool {
        self.groups.get(project).is_some_and(|groups| groups.values().any(|workers| !workers.is_empty()))
    }
}
