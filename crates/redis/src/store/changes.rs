//! The queue of changes that are not written to Redis yet, in order.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_backplane::{SeatRequest, Seated};
use switchboard_event::{ProjectId, ShardName, SocketId, Target};
use tokio::sync::{Notify, oneshot};

/// One change of this node's presence.
pub(super) enum Change {
    Enter(Target, SocketId),
    Leave(Target, SocketId),
    /// The sender is taken when the request is answered.
    TakeSeat(SeatRequest, Option<oneshot::Sender<Seated>>),
    LeaveSeat(ShardName, SocketId),
    Describe(ShardName, SocketId, Bytes),
    /// Writes a seat again that Redis has lost: shard, socket, the shard's capacity and number.
    Restore(ShardName, SocketId, u32, u64),
}

pub(super) struct ChangeQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    max: usize,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<(ProjectId, Change)>,
    /// Number of changes so far.
    count: u64,
    /// Changes were dropped, so the whole presence must be written again.
    overflowed: bool,
}

/// Changes that are being written.
#[derive(Default)]
pub(super) struct ChangeBatch {
    pub(super) changes: Vec<(ProjectId, Change)>,
    /// Number of changes up to the last of these.
    pub(super) count: u64,
}

impl ChangeBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
    }

    /// The projects of the changes, without those that are `known`.
    pub(super) fn new_projects(&self, known: &HashSet<ProjectId>) -> HashSet<ProjectId> {
        let projects = self.changes.iter().map(|(project, _)| project);
        projects.filter(|project| !known.contains(*project)).cloned().collect()
    }
}

impl ChangeQueue {
    pub(super) fn new(max: usize) -> Self {
        ChangeQueue { queue: Mutex::default(), filled: Notify::new(), max }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn push(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        if queue.overflowed || queue.queued.len() >= self.max {
            // Nothing is lost: the local index contains the whole presence.
            queue.overflowed = true;
            queue.queued.clear();
        } else {
            queue.queued.push_back((project.clone(), change));
        }
        if queue.queued.len() <= 1 {
            self.filled.notify_one();
        }
    }

    /// Number of changes so far.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Takes up to `max` changes. `None` if some were dropped.
    pub(super) fn take(&self, max: usize) -> Option<ChangeBatch> {
        let mut queue = self.lock();
        if queue.overflowed {
            return None;
        }
        let taken = queue.queued.len().min(max);
        let changes = queue.queued.drain(..taken).collect();
        Some(ChangeBatch { changes, count: queue.count - queue.queued.len() as u64 })
    }

    /// Drops the queue before the whole presence is written again.
    pub(super) fn clear(&self) {
        let mut queue = self.lock();
        queue.queued.clear();
        queue.overflowed = false;
    }

    /// Adds a change even beyond the bound. Used for the whole presence, whose size the node's sockets bound.
    pub(super) fn push_unbounded(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        queue.queued.push_back((project.clone(), change));
    }

    /// Waits until a change is pushed to an empty queue.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}
