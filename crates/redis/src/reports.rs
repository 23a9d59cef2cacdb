//! Reports of client actions through Redis, to worker groups and other receivers.
//!
//! One task sends the queued reports of this node in order. A group receives each report once even if the
//! connection breaks, because Redis stores the number of each node's last report. Other receivers receive a
//! report at most once.

mod direct;
mod groups;
mod queue;
mod record;
mod sender;
mod shared;
mod swept;
pub mod worker;

use std::sync::Arc;

use metrics::{Counter, counter};
use switchboard_backplane::{Report, ReportSink, WorkerListener};
use switchboard_event::ProjectId;

use crate::context::Context;
use crate::names::Names;
use crate::options::ReportOptions;

pub(crate) use direct::DirectReceivers;
use queue::ReportQueue;
use sender::ReportSender;
use shared::ReportsShared;
pub(crate) use swept::SweptClients;

/// The prefix of the streams with reports to webhooks, beside the keys of nodes with `prefix`.
pub fn webhook_prefix(prefix: &str) -> String {
    format!("{prefix}:webhooks")
}

/// Sends reports through Redis. Made by [`Redis::connect`](crate::Redis::connect).
pub struct RedisReportSink {
    shared: Arc<ReportsShared>,
    dropped: Counter,
}

impl RedisReportSink {
    pub(crate) fn start(
        context: &Arc<Context>,
        options: ReportOptions,
        direct: Option<Arc<dyn DirectReceivers>>,
    ) -> Arc<Self> {
        let names = context.names.clone();
        let queue = ReportQueue::new("reports");
        let shared = Arc::new(ReportsShared::new(context.clone(), names, queue, options, direct));
        context.supervise(ReportSender::<false>::new(shared.clone()), None);
        RedisReportSink::new(shared)
    }

    /// Starts the sink of the reports to webhooks. Its streams are beside those of workers, which do not receive them.
    pub(crate) fn start_for_webhooks(context: &Arc<Context>, options: ReportOptions) -> Arc<Self> {
        let names = Names::new(&webhook_prefix(&context.options.prefix));
        let queue = ReportQueue::new("webhooks");
        let shared = Arc::new(ReportsShared::new(context.clone(), names, queue, options, None));
        context.supervise(ReportSender::<true>::new(shared.clone()), None);
        RedisReportSink::new(shared)
    }

    fn new(shared: Arc<ReportsShared>) -> Arc<Self> {
        let dropped = counter!("switchboard_reports_lost_total", "reason" => "queue_full");
        Arc::new(RedisReportSink { shared, dropped })
    }

    /// Completes once the receivers are known.
    pub(crate) async fn wait_until_up(&self) {
        // Fails only after the sink was dropped.
        let _ = self.shared.is_up.subscribe().wait_for(|is_up| *is_up).await;
    }

    /// Completes once all earlier reports are sent, or when the connection is lost.
    pub(crate) async fn settled(&self) {
        let last = self.shared.queue().last;
        let sent = async {
            // Fails only after the sink was dropped.
            let _ = self.shared.sent.subscribe().wait_for(|number| *number >= last).await;
        };
        let down = async {
            let _ = self.shared.is_up.subscribe().wait_for(|is_up| !*is_up).await;
        };
        tokio::select! { () = sent => {}, () = down => {} }
    }
}

impl ReportSink for RedisReportSink {
    fn start(&self, on_change: WorkerListener) {
        let _ = self.shared.on_change.set(on_change);
        // Wakes the sender, which then announces the current receivers.
        self.shared.wake.notify_one();
    }

    fn accepts(&self, project: &ProjectId, answers: bool) -> bool {
        let receivers = self.shared.receivers();
        if answers {
            return receivers.has_worker(project);
        }
        let is_direct = self.shared.direct.as_ref().is_some_and(|direct| direct.project() == project);
        receivers.has_group(project) || (is_direct && !receivers.direct.is_empty())
    }

    fn report(&self, report: Report) {
        if !self.accepts(&report.project, false) {
            return;
        }
        let mut queue = self.shared.queue();
        if !queue.push(self.shared.context.node, report, self.shared.options.bytes_max) {
            return self.dropped.increment(1);
        }
        if queue.len() == 1 {
            self.shared.wake.notify_one();
        }
    }
}
