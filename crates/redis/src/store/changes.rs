//! The queue of changes that are not written to Redis yet, in order, bounded in bytes.
//!
//! The description of a socket is not part of its change: it is read from the held [seats](super::seats) when it is
//! written. So a socket has one queued description, however often it changes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use metrics::{Gauge, gauge};
use switchboard_backplane::{SeatRequest, Seated};
use switchboard_event::{ProjectId, ShardName, SocketId, Target};
use tokio::sync::{Notify, oneshot};

/// Maximum number of descriptions in one batch: each may have many bytes, unlike all other changes.
const DESCRIPTIONS_MAX: usize = 64;

/// One change of this node's presence.
pub(super) enum Change {
    Enter(Target, SocketId),
    Leave(Target, SocketId),
    /// Writes the record that the session has by then.
    Record(SocketId),
    /// Removes the entries of a session that this node has taken from a dead one.
    ForgetSession(SocketId),
    /// The sender is taken when the request is answered.
    TakeSeat(SeatRequest, Option<oneshot::Sender<Seated>>),
    LeaveSeat(ShardName, SocketId),
    /// Writes the description that the socket has by then.
    Describe(ShardName, SocketId),
    /// Writes a seat again that Redis has lost: shard, socket, the shard's capacity and number.
    Restore(ShardName, SocketId, u32, u64),
}

impl Change {
    /// Approximate size in the queue.
    fn bytes(&self, project: &ProjectId) -> usize {
        let name = match self {
            Change::Enter(target, _) | Change::Leave(target, _) => name_len(target),
            Change::Record(_) | Change::ForgetSession(_) => 0,
            Change::TakeSeat(request, _) => {
                request.shard.as_ref().map_or(0, |shard| shard.len())
                    + request.description.as_ref().map_or(0, |description| description.len())
            }
            Change::LeaveSeat(shard, _) | Change::Describe(shard, _) | Change::Restore(shard, ..) => {
                shard.len()
            }
        };
        size_of::<(ProjectId, Change)>() + project.len() + name
    }
}

fn name_len(target: &Target) -> usize {
    match target {
        Target::Everyone | Target::Socket(_) => 0,
        Target::User(id) => id.len(),
        Target::Room(name) => name.len(),
        Target::Tag(name) => name.len(),
    }
}

pub(super) struct ChangeQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    bytes_max: usize,
    queued_bytes: Gauge,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<(ProjectId, Change)>,
    bytes: usize,
    /// Number of changes so far.
    count: u64,
    /// Changes were dropped, so the whole presence must be written again.
    overflowed: bool,
}

impl Queue {
    fn push(&mut self, project: &ProjectId, change: Change) {
        self.bytes += change.bytes(project);
        self.queued.push_back((project.clone(), change));
    }

    /// Drops all changes and frees the memory of the queue.
    fn clear(&mut self) {
        (self.queued, self.bytes) = (VecDeque::new(), 0);
    }

    /// How many changes the next batch has.
    fn batch_len(&self, max: usize) -> usize {
        let mut descriptions = 0;
        let fits = |(_, change): &&(ProjectId, Change)| {
            descriptions += usize::from(matches!(change, Change::Describe(..)));
            descriptions <= DESCRIPTIONS_MAX
        };
        self.queued.iter().take(max).take_while(fits).count()
    }
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

    /// The sockets whose descriptions are written.
    pub(super) fn described(&self) -> impl Iterator<Item = SocketId> {
        self.changes.iter().filter_map(|(_, change)| match change {
            Change::Describe(_, socket) => Some(*socket),
            _ => None,
        })
    }

    /// The projects of the changes, without those that are `known`.
    pub(super) fn new_projects(&self, known: &HashSet<ProjectId>) -> HashSet<ProjectId> {
        let projects = self.changes.iter().map(|(project, _)| project);
        projects.filter(|project| !known.contains(*project)).cloned().collect()
    }
}

impl ChangeQueue {
    pub(super) fn new(bytes_max: usize) -> Self {
        let queued_bytes = gauge!("switchboard_queue_bytes", "queue" => "presence");
        ChangeQueue { queue: Mutex::default(), filled: Notify::new(), bytes_max, queued_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn push(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        if queue.overflowed || queue.bytes + change.bytes(project) > self.bytes_max {
            // Nothing is lost: the local index contains the whole presence.
            queue.overflowed = true;
            queue.clear();
        } else {
            queue.push(project, change);
        }
        self.queued_bytes.set(queue.bytes as f64);
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
        let taken = queue.batch_len(max);
        let changes: Vec<_> = queue.queued.drain(..taken).collect();
        queue.bytes -= changes.iter().map(|(project, change)| change.bytes(project)).sum::<usize>();
        self.queued_bytes.set(queue.bytes as f64);
        Some(ChangeBatch { changes, count: queue.count - queue.queued.len() as u64 })
    }

    /// Drops the queue before the whole presence is written again.
    pub(super) fn clear(&self) {
        let mut queue = self.lock();
        queue.clear();
        queue.overflowed = false;
        self.queued_bytes.set(0.0);
    }

    /// Adds a change even beyond the bound. Used for the whole presence, whose size the node's sockets bound.
    pub(super) fn push_unbounded(&self, project: &ProjectId, change: Change) {
        let mut queue = self.lock();
        queue.count += 1;
        queue.push(project, change);
        self.queued_bytes.set(queue.bytes as f64);
    }

    /// Waits until a change is pushed to an empty queue.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::name;

    use super::*;

    fn leave(shard: &str) -> Change {
        Change::LeaveSeat(name(shard), SocketId::random())
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_overflows_as_a_whole() {
        let (project, short, long) = (name("p"), "s", "s".repeat(256));
        let each = leave(&long).bytes(&project);
        assert!(each > leave(short).bytes(&project) + 200, "names count");
        let queue = ChangeQueue::new(10 * each);
        (0..10).for_each(|_| queue.push(&project, leave(&long)));
        let taken = queue.take(4).expect("nothing was dropped");
        assert_eq!((taken.len(), taken.count, queue.lock().bytes), (4, 4, 6 * each));
        (0..4).for_each(|_| queue.push(&project, leave(&long)));
        assert!(queue.lock().queued.len() == 10, "taken changes make room");
        queue.push(&project, leave(short));
        assert!(queue.take(1).is_none(), "the whole presence must be written again");
        assert_eq!(queue.lock().bytes, 0);
        queue.clear();
        queue.push(&project, leave(short));
        assert_eq!(queue.take(8).expect("nothing was dropped").len(), 1);
    }

    #[test]
    fn a_batch_has_few_descriptions_because_they_may_be_large() {
        let (queue, project) = (ChangeQueue::new(usize::MAX), name("p"));
        for _ in 0..DESCRIPTIONS_MAX + 1 {
            queue.push(&project, Change::Describe(name("s"), SocketId::random()));
            queue.push(&project, leave("s"));
        }
        let len = || queue.take(1024).expect("nothing was dropped").len();
        assert_eq!([len(), len()], [2 * DESCRIPTIONS_MAX, 2]);
    }
}
