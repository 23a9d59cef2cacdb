//! Makes the queues of a node without Redis, with the reports that an earlier process has left in the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use switchboard_disk::{ReportFile, StoredReport};
use switchboard_event::unix_ms;
use switchboard_log::{limited, printable};

use super::journal::Journal;
use super::local_queue::{LocalQueue, QueueFile};
use super::options::{WebhookError, WebhookOptions};

/// Reports with their numbers, by endpoint.
type Reports = HashMap<Arc<str>, Vec<(u64, StoredReport)>>;

pub(super) struct Queues {
    bytes_max: usize,
    file: Option<(Arc<Journal>, Reports)>,
}

impl Queues {
    /// Opens the file and reads it, if there is one.
    pub(super) fn open(options: &WebhookOptions) -> Result<Self, WebhookError> {
        let bytes_max = options.queue_bytes_max;
        let Some(path) = &options.file else { return Ok(Queues { bytes_max, file: None }) };
        let file = ReportFile::open(path)?;
        let mut reports = Reports::new();
        for ((endpoint, number), report) in file.load()? {
            reports.entry(endpoint).or_default().push((number, report));
        }
        let queues = Queues { bytes_max, file: Some((Journal::new(file), reports)) };
        queues.keep_others(options);
        Ok(queues)
    }

    /// Keeps the reports of endpoints that are not in the settings, which may be back at the next start, but removes those
    /// that are too old.
    fn keep_others(&self, options: &WebhookOptions) {
        let Some((journal, reports)) = &self.file else { return };
        let age_max_ms = u64::try_from(options.age_max.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = unix_ms(SystemTime::now()).saturating_sub(age_max_ms);
        let is_known = |name: &str| options.endpoints.iter().any(|endpoint| endpoint.name == *name);
        for (endpoint, reports) in reports.iter().filter(|(endpoint, _)| !is_known(endpoint)) {
            let is_old = |report: &StoredReport| report.time_ms < oldest_ms;
            let old = reports.iter().filter(|(_, report)| is_old(report));
            journal.remove(old.clone().map(|(number, _)| (endpoint.clone(), *number)));
            limited!(
                WARN,
                endpoint = printable(endpoint),
                kept = reports.len() - old.clone().count(),
                removed = old.count(),
                "webhook file has reports of an endpoint that is not in the settings; they are kept until they are too old"
            );
        }
    }

    /// The queue of an endpoint, with the reports that the file has for it.
    pub(super) fn queue(&mut self, endpoint: &str) -> LocalQueue {
        let Some((journal, reports)) = &mut self.file else { return LocalQueue::new(self.bytes_max) };
        let reports = reports.remove(endpoint).unwrap_or_default();
        let file = QueueFile { journal: journal.clone(), endpoint: endpoint.into() };
        LocalQueue::with_file(self.bytes_max, file, reports)
    }

    /// The journal that writes the changes of the queues.
    pub(super) fn into_journal(self) -> Option<Arc<Journal>> {
        self.file.map(|(journal, _)| journal)
    }
}
