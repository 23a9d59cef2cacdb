//! The report sink of webhooks: it selects reports and passes them to the queues of this node or to Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use switchboard_backplane::{Report, ReportId, ReportSink};
use switchboard_event::{NodeId, ProjectId};

use super::batch::EncodedReport;
use super::endpoint::Endpoint;
use super::event_kind::EventKind;
use super::local_queue::LocalQueue;

/// The sink of a node without Redis.
pub(super) struct LocalSink {
    node: NodeId,
    last: AtomicU64,
    endpoints: Vec<(Arc<Endpoint>, Arc<LocalQueue>)>,
}

impl LocalSink {
    pub(super) fn new(endpoints: Vec<(Arc<Endpoint>, Arc<LocalQueue>)>) -> Self {
        LocalSink { node: NodeId::random(), last: AtomicU64::new(0), endpoints }
    }
}

impl ReportSink for LocalSink {
    fn accepts(&self, project: &ProjectId, needs_reply: bool) -> bool {
        let endpoints = self.endpoints.iter().map(|(endpoint, _)| endpoint);
        !needs_reply && accept_messages(endpoints, project)
    }

    fn report(&self, report: Report) {
        let Some(kind) = EventKind::of(&report.action) else { return };
        let mut encoded = None;
        for (endpoint, queue) in &self.endpoints {
            if !endpoint.filter.takes(&report) {
                continue;
            }
            let encoded = encoded.get_or_insert_with(|| {
                let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
                EncodedReport::new(ReportId { node: self.node, number }, kind, &report)
            });
            if !queue.push(report.socket, encoded.clone()) {
                endpoint.count_queue_full();
            }
        }
    }
}

/// The sink of a node with Redis: the streams are read by the senders of all nodes.
pub(super) struct RedisSink {
    pub(super) streams: Arc<dyn ReportSink>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
}

impl ReportSink for RedisSink {
    fn accepts(&self, project: &ProjectId, needs_reply: bool) -> bool {
        !needs_reply
            && accept_messages(self.endpoints.iter(), project)
            && self.streams.accepts(project, false)
    }

    fn report(&self, report: Report) {
        if self.endpoints.iter().any(|endpoint| endpoint.filter.takes(&report)) {
            self.streams.report(report);
        }
    }
}

fn accept_messages<'a>(mut endpoints: impl Iterator<Item = &'a Arc<Endpoint>>, project: &ProjectId) -> bool {
    endpoints.any(|endpoint| endpoint.filter.takes_kind(project, EventKind::Message))
}
