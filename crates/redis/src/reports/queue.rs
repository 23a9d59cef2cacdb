//! The queue of reports on this node, bounded in bytes.

use std::collections::VecDeque;

use metrics::{Gauge, gauge};
use switchboard_backplane::{Report, ReportId};
use switchboard_event::NodeId;

/// Most reports, and approximately how many bytes of them, that are sent at a time.
const BATCH_MAX: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// Approximate overhead of a report in bytes.
const OVERHEAD: usize = 256;

pub(super) struct ReportQueue {
    queued: VecDeque<NumberedReport>,
    bytes: usize,
    queued_bytes: Gauge,
    /// Number of the last report.
    pub(super) last: u64,
}

pub(super) struct NumberedReport {
    pub(super) id: ReportId,
    pub(super) report: Report,
}

impl NumberedReport {
    /// Approximate size in the queue.
    fn bytes(&self) -> usize {
        let Report { project, user, action, .. } = &self.report;
        let names = project.len() + user.as_ref().map_or(0, |user| user.len());
        OVERHEAD + names + action.bytes()
    }
}

impl ReportQueue {
    /// `name` is the label of the queue in the metrics.
    pub(super) fn new(name: &'static str) -> Self {
        let queued_bytes = gauge!("switchboard_queue_bytes", "queue" => name);
        ReportQueue { queued: VecDeque::new(), bytes: 0, queued_bytes, last: 0 }
    }

    /// Numbers and queues a report. Returns false at the bound.
    pub(super) fn push(&mut self, node: NodeId, report: Report, bytes_max: usize) -> bool {
        let number = self.last + 1;
        let numbered = NumberedReport { id: ReportId { node, number }, report };
        if self.bytes + numbered.bytes() > bytes_max {
            return false;
        }
        self.last = number;
        self.bytes += numbered.bytes();
        self.queued_bytes.set(self.bytes as f64);
        self.queued.push_back(numbered);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Takes as many reports as are sent at a time.
    pub(super) fn take(&mut self) -> Vec<NumberedReport> {
        let (mut count, mut bytes) = (0, 0);
        for numbered in self.queued.iter().take(BATCH_MAX) {
            bytes += numbered.bytes();
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        let taken: Vec<NumberedReport> = self.queued.drain(..count).collect();
        self.bytes -= taken.iter().map(NumberedReport::bytes).sum::<usize>();
        self.queued_bytes.set(self.bytes as f64);
        taken
    }
}
