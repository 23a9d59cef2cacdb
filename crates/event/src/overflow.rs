//! How a message is treated at a receiver with a full outbox.

use crate::Name;

/// How a message is treated at a receiver with a full outbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// Delivered at most once, in order per sender and receiver. If no droppable message can make room, the receiver is
    /// closed with 1013, which signals the loss; a message in the history of its room is read from there instead.
    #[default]
    Live,
    /// Dropped and counted; the receiver stays connected.
    Volatile,
    /// Takes the place of a queued message with the same key, whether the outbox is full or not. Otherwise it makes room as
    /// [`Oldest`](Self::Oldest) does.
    Latest(LatestKey),
    /// Makes room by dropping the oldest queued messages with the policy `Latest` or `Oldest`. If that is not enough, it is
    /// dropped itself.
    Oldest,
}

/// Which queued message a newer one replaces. Messages to different rooms never replace each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LatestKey {
    /// One with this text.
    Text(Name),
    /// One of the same sender with the same event name.
    Event,
}

impl OverflowPolicy {
    /// Returns true if a queued message may be dropped later to make room for another.
    pub fn is_droppable(&self) -> bool {
        matches!(self, OverflowPolicy::Latest(_) | OverflowPolicy::Oldest)
    }
}
