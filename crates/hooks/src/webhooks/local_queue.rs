//! The reports of one endpoint on a node without Redis: in memory, bounded in bytes, and if the settings name a file,
//! also there.
//!
//! Reports are divided into lanes by their socket. A lane sends one batch at a time, so the reports of a client keep
//! their order while another lane waits for a response.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_disk::StoredReport;
use switchboard_event::SocketId;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::batch::{Batch, EncodedReport, GATHER_TIME, REPORTS_MAX, fitting};
use super::journal::Journal;

/// Number of lanes, and of concurrent calls of an endpoint.
pub(crate) const LANES: usize = 4;

/// Approximate overhead of a report in bytes.
const OVERHEAD: usize = 64;

pub(crate) struct LocalQueue {
    lanes: [Lane; LANES],
    bytes: AtomicUsize,
    bytes_max: usize,
    emptied: Notify,
    /// The number of the next report.
    next: AtomicU64,
    file: Option<QueueFile>,
}

/// The copy of a queue in a file.
pub(crate) struct QueueFile {
    pub(crate) journal: Arc<Journal>,
    /// The name of the endpoint.
    pub(crate) endpoint: Arc<str>,
}

#[derive(Default)]
struct Lane {
    reports: Mutex<VecDeque<Queued>>,
    filled: Notify,
}

/// A report with its number in the queue. In a lane, numbers increase.
struct Queued {
    number: u64,
    report: EncodedReport,
}

impl Lane {
    fn reports(&self) -> MutexGuard<'_, VecDeque<Queued>> {
        self.reports.lock().expect("no code that holds the reports panics")
    }
}

fn bytes_of(report: &EncodedReport) -> usize {
    OVERHEAD + report.json.len()
}

impl LocalQueue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        LocalQueue {
            lanes: Default::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            emptied: Notify::new(),
            next: AtomicU64::new(1),
            file: None,
        }
    }

    /// A queue that is also in a file, with the reports that the file has for it, in their order. They may exceed the
    /// bound.
    pub(crate) fn with_file(bytes_max: usize, file: QueueFile, reports: Vec<(u64, StoredReport)>) -> Self {
        let queue = LocalQueue { file: Some(file), ..LocalQueue::new(bytes_max) };
        for (number, StoredReport { id, time_ms, spread, json }) in reports {
            let report = EncodedReport { id, time_ms, json };
            queue.bytes.fetch_add(bytes_of(&report), Ordering::Relaxed);
            queue.next.store(number + 1, Ordering::Relaxed);
            queue.lane(spread).reports().push_back(Queued { number, report });
        }
        queue
    }

    /// The lane of a socket, by its [`SocketId::spread`].
    fn lane(&self, spread: u64) -> &Lane {
        &self.lanes[spread as usize % LANES]
    }

    /// True if the reports are in a file, too.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Queues a report. Returns false at the bound.
    pub(crate) fn push(&self, socket: SocketId, report: EncodedReport) -> bool {
        let bytes = bytes_of(&report);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let lane = self.lane(socket.spread());
        let mut reports = lane.reports();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(QueueFile { journal, endpoint }) = &self.file {
            journal.put((endpoint.clone(), number), socket.spread(), &report);
        }
        reports.push_back(Queued { number, report });
        drop(reports);
        lane.filled.notify_one();
        true
    }

    /// The next reports of a lane, once there are some. They stay queued until [`remove`](Self::remove).
    pub(crate) async fn next(&self, lane: usize, body_bytes_max: usize) -> Batch {
        let lane = &self.lanes[lane];
        while lane.reports().is_empty() {
            lane.filled.notified().await;
        }
        let _ = timeout(GATHER_TIME, async {
            while lane.reports().len() < REPORTS_MAX {
                lane.filled.notified().await;
            }
        })
        .await;
        let queued = lane.reports();
        let reports = || queued.iter().map(|queued| &queued.report);
        let taken = fitting(reports(), body_bytes_max);
        let reports = reports().take(taken).cloned().collect();
        Batch { reports, taken, jobs: Vec::new() }
    }

    /// Removes the oldest reports of a lane.
    pub(crate) fn remove(&self, lane: usize, count: usize) {
        let mut reports = self.lanes[lane].reports();
        let removed: Vec<Queued> = reports.drain(..count).collect();
        drop(reports);
        if let Some(QueueFile { journal, endpoint }) = &self.file {
            journal.remove(removed.iter().map(|queued| (endpoint.clone(), queued.number)));
        }
        let bytes: usize = removed.iter().map(|queued| bytes_of(&queued.report)).sum();
        if self.bytes.fetch_sub(bytes, Ordering::Relaxed) == bytes {
            self.emptied.notify_waiters();
        }
    }

    /// Number of queued reports.
    pub(crate) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.reports().len()).sum()
    }

    /// The time of the oldest report, in milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.lanes.iter().filter_map(|lane| Some(lane.reports().front()?.report.time_ms)).min()
    }

    /// Waits until the queue is empty.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.bytes.load(Ordering::Relaxed) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_backplane::ReportId;
    use switchboard_event::NodeId;

    use super::*;

    fn report(number: u64, len: usize) -> EncodedReport {
        let id = ReportId { node: NodeId(1), number };
        EncodedReport { id, time_ms: number, json: vec![b' '; len].into() }
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.reports.iter().map(|report| report.id.number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn reports_stay_queued_in_order_until_they_are_removed() {
        let (queue, socket) = (LocalQueue::new(usize::MAX), SocketId::random());
        let lane = socket.spread() as usize % LANES;
        (0..250).for_each(|number| assert!(queue.push(socket, report(number, 10))));
        let batch = queue.next(lane, usize::MAX).await;
        assert_eq!(numbers(&batch), (0..100).collect::<Vec<_>>());
        assert_eq!(numbers(&queue.next(lane, usize::MAX).await)[0], 0, "nothing was removed yet");
        queue.remove(lane, batch.taken);
        assert_eq!((queue.len(), queue.oldest_ms()), (150, Some(100)));
        queue.remove(lane, 150);
        queue.wait_until_empty().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_bounded_in_bytes_and_a_longer_report_is_sent_alone() {
        let (queue, socket) = (LocalQueue::new(usize::MAX), SocketId::random());
        let lane = socket.spread() as usize % LANES;
        for (number, len) in [(0, 40), (1, 40), (2, 500), (3, 1)] {
            queue.push(socket, report(number, len));
        }
        for expected in [vec![0, 1], vec![2], vec![3]] {
            let batch = queue.next(lane, 100).await;
            assert_eq!(numbers(&batch), expected);
            queue.remove(lane, batch.taken);
        }
    }

    #[test]
    fn a_report_beyond_the_bound_is_refused_and_room_is_used_again() {
        let queue = LocalQueue::new(2 * (OVERHEAD + 10));
        let socket = SocketId::random();
        assert!(queue.push(socket, report(0, 10)) && queue.push(socket, report(1, 10)));
        assert!(!queue.push(socket, report(2, 0)));
        queue.remove(socket.spread() as usize % LANES, 1);
        assert!(queue.push(socket, report(3, 10)));
    }
}
