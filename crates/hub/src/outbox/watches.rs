//! Traced frames of an outbox: what becomes of each is reported once.
//!
//! An outbox without traced frames has no watches, so idle connections are no larger for them.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{ProjectId, SocketId, TraceId};

/// What became of a queued frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueEnd {
    /// The kernel has accepted all of it.
    Written,
    /// A newer frame with the same key took its place.
    Replaced,
    /// It was dropped to make room for another.
    Dropped,
    /// It was held back, and a redelivered copy of the message was sent in its place.
    Redelivered,
    /// The connection ended before it was sent.
    Unsent,
}

/// Receives the end of traced frames. Called with the lock of the outbox: must be short, and must not call the outbox.
pub trait QueueWatcher: Send + Sync + 'static {
    /// A frame has left the outbox of a socket.
    fn left_queue(&self, trace: TraceId, project: &ProjectId, socket: SocketId, end: QueueEnd);
}

/// A traced frame.
pub(crate) struct Watch {
    /// Identifies the frame by its address, which no other frame has while this is kept.
    pub(crate) frame: Bytes,
    pub(crate) trace: TraceId,
    pub(crate) project: ProjectId,
    pub(crate) socket: SocketId,
    pub(crate) watcher: Arc<dyn QueueWatcher>,
}

impl Watch {
    pub(super) fn end(self, end: QueueEnd) {
        self.watcher.left_queue(self.trace, &self.project, self.socket, end);
    }
}

/// Returns true if both are the same frame, not only equal.
pub(super) fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

/// The traced frames of one outbox. Dropping it reports those that are left as unsent.
#[derive(Default)]
pub(super) struct Watches(Vec<Watch>);

impl Watches {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, watch: Watch) {
        self.0.push(watch);
    }

    /// Reports the end of a frame, if it is traced.
    pub(super) fn end(&mut self, frame: &Bytes, end: QueueEnd) {
        if let Some(place) = self.0.iter().position(|watch| is_same(&watch.frame, frame)) {
            self.0.remove(place).end(end);
        }
    }

    /// Reports frames that are no longer queued although nothing else has reported them.
    pub(super) fn end_missing<'a>(&mut self, queued: impl Iterator<Item = &'a Bytes> + Clone) {
        let is_missing = |watch: &mut Watch| !queued.clone().any(|frame| is_same(frame, &watch.frame));
        self.0.extract_if(.., is_missing).for_each(|watch| watch.end(QueueEnd::Redelivered));
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|watch| watch.end(QueueEnd::Unsent));
    }
}
