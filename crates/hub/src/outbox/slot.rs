//! Kinds of frames of which only the newest matters.

/// A kind of frame of which only the newest matters. An outbox holds at most one that is being sent and one that waits,
/// beside its bound; a newer frame takes the place of the one that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The current value of something, complete: a member list.
    State,
    /// A question whether the peer is alive: a ping or a heartbeat.
    Probe,
}

impl Slot {
    pub(super) const COUNT: usize = 2;

    pub(super) fn index(self) -> usize {
        self as usize
    }
}
