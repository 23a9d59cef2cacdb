//! What this node did and Redis does not know yet, in the order it happened.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_backplane::{SeatRequest, Seated};
use switchboard_event::{ProjectId, ShardName, SocketId, Target};
use tokio::sync::{Notify, oneshot};

/// One thing that happened.
pub(super) enum Change {
    Enter(Target, SocketId),
    Leave(Target, SocketId),
    /// Who waits for the answer is told once.
    TakeSeat(SeatRequest, Option<oneshot::Sender<Seated>>),
    LeaveSeat(ShardName, SocketId),
    Describe(ShardName, SocketId, Bytes),
    /// A seat that was given before Redis lost it: its shard, the shard's capacity and number.
    Restore(ShardName, SocketId, u32, u64),
}

pub(super) struct Changes {
    queue: Mutex<Queue>,
    filled: Notify,
    most: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(ProjectId, Change)>,
    /// How many there were so far.
    count: u64,
    /// Some were dropped: everything has to be written anew.
    overflowed: bool,
}

/// Changes that are being written.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) changes: Vec<(ProjectId, Change)>,
    /// How many changes there were up to the last of these.
    pub(super) count: u64,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
    }

    /// The projects that are not among those known.
    pub(super) fn projects_beside(&self, known: &HashSet<ProjectId>) -> HashSet<ProjectId> {
        let projects = self.changes.iter().map(|(project, _)| project);
        projects.filter(|project| !known.contains(*project)).cloned().collect()
    }
}

impl Changes {
    pub(super) fn new(most: usize) -> Self {
        Changes { queue: Mutex::default(), filled: Notify::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn push(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        if queue.overflowed || queue.waiting.len() >= self.most {
            // What is given up here is in the node's own index and comes back from there.
            queue.overflowed = true;
            queue.waiting.clear();
        } else {
            queue.waiting.push_back((project.clone(), change));
        }
        if queue.waiting.len() <= 1 {
            self.filled.notify_one();
        }
    }

    /// How many changes there were.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Up to `most` of those that wait. None if some were dropped.
    pub(super) fn take(&self, most: usize) -> Option<Taken> {
        let mut queue = self.lock();
        if queue.overflowed {
            return None;
        }
        let taken = queue.waiting.len().min(most);
        let changes = queue.waiting.drain(..taken).collect();
        Some(Taken { changes, count: queue.count - queue.waiting.len() as u64 })
    }

    /// Forgets all that wait: everything is about to be written anew.
    pub(super) fn clear(&self) {
        let mut queue = self.lock();
        queue.waiting.clear();
        queue.overflowed = false;
    }

    /// Adds what is written anew, whatever the bound: it is no more than there is.
    pub(super) fn push_again(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        queue.waiting.push_back((project.clone(), change));
    }

    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}
