//! One report on its way to the application.

use switchboard_backplane::{Report, ReportId};
use switchboard_redis::worker::EntryId;

/// An entry's partition and its id in the stream of that partition.
pub(crate) type EntryKey = (u16, EntryId);

/// A report to hand out.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) entry: EntryKey,
    pub(crate) id: ReportId,
    pub(crate) report: Report,
    /// The report may have been handed out before, by this worker or a previous owner of the partition.
    pub(crate) redelivered: bool,
}

impl Delivery {
    /// Bytes of the report's names and data.
    pub(crate) fn data_bytes(&self) -> usize {
        self.report.action.bytes()
    }
}
