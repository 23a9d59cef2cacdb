//! Reports of what clients do, for other processes: worker groups, and original Mesa Portals.
//!
//! Reports wait in a queue of this node until one task has handed them in, in their order. To groups
//! each is handed in once, however often the connection breaks: Redis remembers the last number of each
//! node. To original portals it is published at most once.

mod groups;
pub(crate) mod record;
mod sender;
pub mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use metrics::{Counter, counter};
use switchboard_backplane::{ClientAction, Report, ReportId, ReportSink, ReportSinkListener};
use switchboard_event::{NodeId, ProjectId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::connection::Source;
use crate::names::Names;

pub use crate::legacy::OriginalPortals;
pub(crate) use groups::WorkerScripts;

/// Which clients are reported, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The projects whose clients are reported.
    pub projects: Vec<ProjectId>,
    /// Into how many parts the clients of a project are divided; default 16. No group has more workers
    /// that have something to do. It changes when there is no group.
    pub partitions: u16,
    /// Most reports that wait in one part for one group; default 100,000. Then the oldest gives way.
    pub backlog_max: u64,
    /// Most bytes of reports that wait on this node; default 16 MiB. What comes on top is lost.
    pub bytes_max: usize,
    /// Original Mesa Portals that get reports as well; default none.
    pub originals: Option<OriginalPortals>,
}

impl Reports {
    /// Those of one project, everything else as by default.
    pub fn of(project: &ProjectId) -> Self {
        Reports {
            projects: vec![project.clone()],
            partitions: 16,
            backlog_max: 100_000,
            bytes_max: 16 * 1024 * 1024,
            originals: None,
        }
    }
}

/// Reports through Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisPortal {
    node: NodeId,
    names: Names,
    publish_verb: &'static str,
    reports: Reports,
    queue: Mutex<Queue>,
    /// There is something to hand in, or to look at.
    stirred: Notify,
    takers: Mutex<Takers>,
    heard: Mutex<Heard>,
    on_change: OnceLock<ReportSinkListener>,
    up: watch::Sender<bool>,
    /// The number of the last report that was handed in.
    handed_in: watch::Sender<u64>,
    meters: Meters,
}

struct Meters {
    reported: Counter,
    full: Counter,
    trimmed: Counter,
    unheard: Counter,
    garbage: Counter,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Numbered>,
    bytes: usize,
    last: u64,
}

struct Numbered {
    id: ReportId,
    report: Report,
}

/// Who takes reports now.
#[derive(Default)]
struct Takers {
    /// By project, the workers of each group.
    groups: HashMap<ProjectId, HashMap<String, Vec<String>>>,
    originals: Vec<String>,
}

/// What Redis said unasked and nobody has looked at.
#[derive(Default)]
struct Heard {
    pool: VecDeque<Vec<u8>>,
    groups: bool,
}

/// Most changes of the pool that nobody has looked at. Of more the oldest are dropped.
const POOL_CHANGES_MAX: usize = 4096;

impl Numbered {
    /// How much it holds in the queue, about.
    fn bytes(&self) -> usize {
        match &self.report.action {
            ClientAction::Message(said) => 256 + said.data.as_bytes().len(),
            _ => 256,
        }
    }
}

impl RedisPortal {
    pub(crate) fn start(
        node: NodeId,
        names: Names,
        reports: Reports,
        source: Arc<Source>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let lost = |reason: &'static str| counter!("switchboard_reports_lost_total", "reason" => reason);
        let portal = Arc::new(RedisPortal {
            node,
            names,
            publish_verb: source.publish_verb(),
            reports,
            queue: Mutex::default(),
            stirred: Notify::new(),
            takers: Mutex::default(),
            heard: Mutex::default(),
            on_change: OnceLock::new(),
            up: watch::Sender::new(false),
            handed_in: watch::Sender::new(0),
            meters: Meters {
                reported: counter!("switchboard_reports_total"),
                full: lost("queue"),
                trimmed: lost("backlog"),
                unheard: lost("unheard"),
                garbage: counter!("switchboard_bus_undecodable_total"),
            },
        });
        crate::spawn(stop, sender::run(portal.clone(), source));
        portal
    }

    /// When it has seen who is there.
    pub(crate) async fn up(&self) {
        // Fails only when the portal is gone.
        let _ = self.up.subscribe().wait_for(|up| *up).await;
    }

    /// When everything that was reported before is handed in, or cannot be.
    pub(crate) async fn settled(&self) {
        let last = self.queue().last;
        let handed_in = async {
            // Fails only when the portal is gone.
            let _ = self.handed_in.subscribe().wait_for(|number| *number >= last).await;
        };
        let away = async {
            let _ = self.up.subscribe().wait_for(|up| !*up).await;
        };
        tokio::select! { () = handed_in => {}, () = away => {} }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    fn takers(&self) -> MutexGuard<'_, Takers> {
        self.takers.lock().expect("no code that holds the takers panics")
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("no code that holds what was heard panics")
    }
}

impl Takers {
    fn has_group(&self, project: &ProjectId) -> bool {
        self.groups.get(project).is_some_and(|groups| !groups.is_empty())
    }

    fn has_worker(&self, project: &ProjectId) -> bool {
        self.groups.get(project).is_some_and(|groups| groups.values().any(|workers| !workers.is_empty()))
    }
}

impl ReportSink for RedisPortal {
    fn start(&self, on_change: ReportSinkListener) {
        let _ = self.on_change.set(on_change);
        // Of those who are there already.
        self.stirred.notify_one();
    }

    fn accepts(&self, project: &ProjectId, answers: bool) -> bool {
        let takers = self.takers();
        match answers {
            true => takers.has_worker(project),
            false => {
                let theirs = self.reports.originals.as_ref().is_some_and(|theirs| theirs.project == *project);
                takers.has_group(project) || (theirs && !takers.originals.is_empty())
            }
        }
    }

    fn report(&self, report: Report) {
        if !self.accepts(&report.project, false) {
            return;
        }
        let mut queue = self.queue();
        let number = queue.last + 1;
        let numbered = Numbered { id: ReportId { node: self.node, number }, report };
        if queue.bytes + numbered.bytes() > self.reports.bytes_max {
            return self.meters.full.increment(1);
        }
        queue.last = number;
        queue.bytes += numbered.bytes();
        queue.waiting.push_back(numbered);
        if queue.waiting.len() == 1 {
            self.stirred.notify_one();
        }
    }
}
