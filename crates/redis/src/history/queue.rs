//! Messages that wait for their number, bounded in bytes, and those that are under way.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use metrics::{Gauge, gauge};
use switchboard_backplane::{HistoryLimits, Publication};
use switchboard_event::{ProjectId, RoomName};
use tokio::sync::{Notify, watch};

/// Most messages, and about how many bytes, in one pipeline.
const BATCH_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Estimated bytes of a message in the queue without its name and data.
const OVERHEAD: usize = 256;

/// Numbers of delivered messages that are remembered, in case they were numbered nevertheless and arrive.
const GIVEN_UP_MAX: usize = 4096;

/// A message without a position yet.
pub(super) struct Queued {
    /// Identifies it on this node.
    pub(super) number: u64,
    pub(super) room: RoomName,
    pub(super) limits: HistoryLimits,
    pub(super) size: u64,
    pub(super) publication: Publication,
}

pub(super) struct RecordQueue {
    state: Mutex<State>,
    pub(super) filled: Notify,
    /// Messages that are queued or under way.
    open: watch::Sender<usize>,
    bytes_max: usize,
    queued_bytes: Gauge,
}

#[derive(Default)]
struct State {
    is_up: bool,
    next: u64,
    queued: VecDeque<Queued>,
    bytes: usize,
    /// The numbers of messages that are under way and have not arrived at this node.
    under_way: HashSet<u64>,
    /// Messages that were delivered without a position. They are dropped if they arrive.
    given_up: VecDeque<u64>,
    /// Projects with messages that the history does not have.
    incomplete: HashSet<ProjectId>,
}

impl Queued {
    fn bytes(&self) -> usize {
        OVERHEAD + self.size as usize
    }
}

impl RecordQueue {
    pub(super) fn new(bytes_max: usize) -> Self {
        RecordQueue {
            state: Mutex::default(),
            filled: Notify::new(),
            open: watch::Sender::new(0),
            bytes_max,
            queued_bytes: gauge!("switchboard_queue_bytes", "queue" => "history"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the queue panics")
    }

    /// Queues a message. Returns false without a connection, and at the bound.
    pub(super) fn push(
        &self,
        publication: Publication,
        room: &RoomName,
        limits: HistoryLimits,
        size: u64,
    ) -> bool {
        let mut state = self.lock();
        let queued = Queued { number: state.next, room: room.clone(), limits, size, publication };
        if !state.is_up || state.bytes + queued.bytes() > self.bytes_max {
            state.incomplete.insert(queued.publication.project);
            return false;
        }
        state.next += 1;
        state.bytes += queued.bytes();
        self.queued_bytes.set(state.bytes as f64);
        state.queued.push_back(queued);
        self.open.send_modify(|open| *open += 1);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes the messages of the next pipeline. They are under way until [`done`](Self::done).
    pub(super) fn take(&self) -> Vec<Queued> {
        let mut state = self.lock();
        let mut bytes = 0;
        let fits = |queued: &&Queued| {
            let is_first = bytes == 0;
            bytes += queued.bytes();
            is_first || bytes <= BATCH_BYTES_MAX
        };
        let count = state.queued.iter().take(BATCH_MAX).take_while(fits).count();
        let taken: Vec<Queued> = state.queued.drain(..count).collect();
        state.bytes -= taken.iter().map(Queued::bytes).sum::<usize>();
        state.under_way.extend(taken.iter().map(|queued| queued.number));
        self.queued_bytes.set(state.bytes as f64);
        taken
    }

    /// Records that these messages have their numbers, or never will.
    pub(super) fn done(&self, messages: &[Queued]) {
        let mut state = self.lock();
        for queued in messages {
            state.under_way.remove(&queued.number);
        }
        self.open.send_modify(|open| *open -= messages.len());
    }

    /// Records that a message of this node has arrived with its position. Returns false if it was delivered without one.
    pub(super) fn arrived(&self, number: u64) -> bool {
        let mut state = self.lock();
        state.under_way.remove(&number);
        !state.given_up.contains(&number)
    }

    /// Gives up messages that have an unknown outcome or were refused, and returns those that have not arrived.
    pub(super) fn give_up(&self, messages: Vec<Queued>) -> Vec<Queued> {
        let mut state = self.lock();
        self.open.send_modify(|open| *open -= messages.len());
        let mut lost = messages;
        lost.retain(|queued| state.under_way.remove(&queued.number));
        for queued in &lost {
            state.incomplete.insert(queued.publication.project.clone());
            state.given_up.push_back(queued.number);
        }
        while state.given_up.len() > GIVEN_UP_MAX {
            state.given_up.pop_front();
        }
        lost
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().queued.is_empty()
    }

    /// Accepts messages from now on.
    pub(super) fn open(&self) {
        self.lock().is_up = true;
    }

    /// Accepts no messages any more, and returns those that were queued; they are under way until they are given up.
    pub(super) fn close(&self) -> Vec<Queued> {
        let mut state = self.lock();
        state.is_up = false;
        state.bytes = 0;
        self.queued_bytes.set(0.0);
        let queued: Vec<Queued> = state.queued.drain(..).collect();
        state.under_way.extend(queued.iter().map(|queued| queued.number));
        queued
    }

    /// The projects that must begin an era.
    pub(super) fn incomplete(&self) -> Vec<ProjectId> {
        self.lock().incomplete.iter().cloned().collect()
    }

    /// Records that these projects have begun an era.
    pub(super) fn completed(&self, projects: &[ProjectId]) {
        let mut state = self.lock();
        for project in projects {
            state.incomplete.remove(project);
        }
    }

    /// Completes once no message is queued or under way.
    pub(super) async fn wait_until_empty(&self) {
        // Fails only when the queue is gone.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}
