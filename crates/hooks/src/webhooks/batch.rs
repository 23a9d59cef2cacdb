//! Reports that are sent together.

use std::time::Duration;

use bytes::Bytes;
use switchboard_backplane::{Report, ReportId};
use switchboard_worker::Job;

use super::event_kind::EventKind;
use super::report_json;

/// Most reports in one call.
pub(crate) const REPORTS_MAX: usize = 100;

/// How long a call waits for more reports.
pub(crate) const GATHER_TIME: Duration = Duration::from_millis(50);

/// An encoded report.
#[derive(Clone)]
pub(crate) struct EncodedReport {
    pub(crate) id: ReportId,
    /// When it happened, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) json: Bytes,
}

impl EncodedReport {
    pub(crate) fn new(id: ReportId, kind: EventKind, report: &Report) -> Self {
        EncodedReport { id, time_ms: report.time_ms, json: report_json::encode(id, kind, report) }
    }
}

/// Reports on their way to an endpoint, in order.
pub(crate) struct Batch {
    pub(crate) reports: Vec<EncodedReport>,
    /// How many reports were taken from the queue for this batch.
    pub(crate) taken: usize,
    /// The jobs of the reports, if they come from Redis.
    pub(crate) jobs: Vec<Job>,
}

impl Batch {
    /// Identifies the call. Repetitions of the call have the same id.
    pub(crate) fn id(&self) -> String {
        let first = self.reports.first().map(|report| report.id.to_string()).unwrap_or_default();
        format!("{first}_{}", self.reports.len())
    }

    pub(crate) fn body(&self) -> Bytes {
        report_json::body(self.reports.iter().map(|report| &report.json))
    }

    /// Removes the reports that happened before `time_ms`. Returns how many.
    pub(crate) fn remove_older_than(&mut self, time_ms: u64) -> usize {
        let before = self.reports.len();
        self.reports.retain(|report| report.time_ms >= time_ms);
        before - self.reports.len()
    }
}

/// How many reports fit into a call, at least one.
pub(crate) fn fitting<'a>(reports: impl Iterator<Item = &'a EncodedReport>, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |report: &&EncodedReport| {
        bytes += report.json.len() + 1;
        bytes <= bytes_max
    };
    reports.take(REPORTS_MAX).take_while(fits).count().max(1)
}
