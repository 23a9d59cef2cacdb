//! Copies the queues of a node into a file, so that a restart loses no report.
//!
//! A task writes the changes of all queues, those that arrive during a write in the next one. A report that is accepted
//! before it is written is never written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Gauge, gauge};
use switchboard_disk::{ReportFile, ReportPlace, StoredReport};
use switchboard_log::{limited, printable, printable_error};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::batch::EncodedReport;

/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// `None` removes the report.
type Changes = BTreeMap<ReportPlace, Option<StoredReport>>;

pub(crate) struct Journal {
    file: Arc<ReportFile>,
    state: Mutex<State>,
    changed: Notify,
    written: Notify,
}

struct State {
    /// At most one change for each report that is in a queue or in the file, so the bounds of the queues bound it as well.
    changes: Changes,
    /// Bytes of the reports that are not written yet.
    bytes: usize,
    is_writing: bool,
    queue_bytes: Gauge,
}

impl State {
    fn insert(&mut self, place: ReportPlace, change: Option<StoredReport>) {
        self.bytes += bytes_of(&change);
        self.changes.insert(place, change);
    }

    /// Returns false if no change of the report waits.
    fn remove(&mut self, place: &ReportPlace) -> bool {
        let removed = self.changes.remove(place);
        self.bytes -= removed.as_ref().map_or(0, bytes_of);
        removed.is_some()
    }

    fn measure(&self) {
        self.queue_bytes.set(self.bytes as f64);
    }
}

fn bytes_of(change: &Option<StoredReport>) -> usize {
    change.as_ref().map_or(0, |report| report.json.len())
}

impl Journal {
    pub(crate) fn new(file: ReportFile) -> Arc<Self> {
        let queue_bytes = gauge!("switchboard_queue_bytes", "queue" => "webhook_file");
        let state = State { changes: Changes::new(), bytes: 0, is_writing: false, queue_bytes };
        let (file, state) = (Arc::new(file), Mutex::new(state));
        Arc::new(Journal { file, state, changed: Notify::new(), written: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the changes panics")
    }

    /// Writes a report soon.
    pub(crate) fn put(&self, place: ReportPlace, spread: u64, report: &EncodedReport) {
        let EncodedReport { id, time_ms, json } = report.clone();
        let mut state = self.state();
        state.insert(place, Some(StoredReport { id, time_ms, spread, json }));
        state.measure();
        drop(state);
        self.changed.notify_one();
    }

    /// Removes reports soon. Those that are not written yet are not written.
    pub(crate) fn remove(&self, places: impl Iterator<Item = ReportPlace>) {
        let mut state = self.state();
        for place in places {
            if !state.remove(&place) {
                state.insert(place, None);
            }
        }
        state.measure();
        drop(state);
        self.changed.notify_one();
    }

    /// Writes the changes until it is aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let Some(changes) = self.take() else {
                self.state().measure();
                self.written.notify_waiters();
                self.changed.notified().await;
                continue;
            };
            let file = self.file.clone();
            let write = move || (file.write(&changes), changes);
            let Ok((result, changes)) = spawn_blocking(write).await else { return };
            let Err(error) = result else { continue };
            limited!(
                WARN,
                path = printable(self.file.path().display()),
                error = printable_error(&error),
                "webhook file cannot be written; a crash loses new reports, and it is tried again every second"
            );
            self.put_back(changes);
            sleep(RETRY_PAUSE).await;
        }
    }

    fn take(&self) -> Option<Changes> {
        let mut state = self.state();
        let changes = std::mem::take(&mut state.changes);
        // The gauge shows them until they are written.
        state.bytes = 0;
        state.is_writing = !changes.is_empty();
        state.is_writing.then_some(changes)
    }

    /// Keeps changes that were not written, unless there are newer ones.
    fn put_back(&self, failed: Changes) {
        let mut state = self.state();
        for (place, change) in failed {
            if !state.changes.contains_key(&place) {
                state.insert(place, change);
            }
        }
        state.measure();
    }

    /// Waits until all changes are written.
    pub(crate) async fn settled(&self) {
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            let is_settled = {
                let state = self.state();
                state.changes.is_empty() && !state.is_writing
            };
            if is_settled {
                return;
            }
            written.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_backplane::ReportId;
    use switchboard_event::NodeId;
    use switchboard_testkit::{Scratch, soon};
    use tokio::task::JoinSet;

    use super::*;

    fn report(number: u64) -> EncodedReport {
        let id = ReportId { node: NodeId(1), number };
        EncodedReport { id, time_ms: number, json: format!("{number}").into() }
    }

    fn place(number: u64) -> ReportPlace {
        ("one".into(), number)
    }

    fn numbers(path: &str) -> Vec<u64> {
        let file = ReportFile::open(path.as_ref()).unwrap();
        file.load().unwrap().into_iter().map(|((_, number), _)| number).collect()
    }

    #[tokio::test]
    async fn what_is_queued_is_in_the_file_and_what_is_accepted_is_not() {
        let scratch = Scratch::new();
        let path = scratch.file("hooks.redb");
        let journal = Journal::new(ReportFile::open(path.as_ref()).unwrap());
        (1..=4).for_each(|number| journal.put(place(number), 0, &report(number)));
        journal.remove([place(1)].into_iter());
        assert!(!journal.state().changes.contains_key(&place(1)), "it is never written");
        let mut writing = JoinSet::new();
        writing.spawn(journal.clone().run());
        soon("it is written", journal.settled()).await;
        journal.remove([place(2), place(4)].into_iter());
        soon("it is written", journal.settled()).await;
        writing.shutdown().await;
        drop(journal);
        assert_eq!(numbers(&path), [3]);
    }

    #[tokio::test]
    async fn changes_of_a_failed_write_are_kept_unless_there_are_newer_ones() {
        let scratch = Scratch::new();
        let journal = Journal::new(ReportFile::open(scratch.file("hooks.redb").as_ref()).unwrap());
        (1..=3).for_each(|number| journal.put(place(number), 0, &report(number)));
        let failed = journal.take().unwrap();
        journal.remove([place(2)].into_iter());
        journal.put(place(4), 0, &report(4));
        journal.put_back(failed);
        let state = journal.state();
        let kept: Vec<(u64, bool)> =
            state.changes.iter().map(|((_, number), change)| (*number, change.is_some())).collect();
        assert_eq!(kept, [(1, true), (2, false), (3, true), (4, true)]);
    }
}
