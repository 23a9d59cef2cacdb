//! What happened on a shard since it was last told.

use indexmap::IndexSet;
use switchboard_event::SocketId;

/// Each client stands in one of the sets at the most.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) joined: IndexSet<SocketId>,
    pub(crate) updated: IndexSet<SocketId>,
    pub(crate) left: IndexSet<SocketId>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.updated.is_empty() && self.left.is_empty()
    }

    pub(crate) fn join(&mut self, id: SocketId) {
        // A node that was taken for dead comes back with the clients it had.
        let set = if self.left.swap_remove(&id) { &mut self.updated } else { &mut self.joined };
        set.insert(id);
    }

    /// It says something else of itself.
    pub(crate) fn update(&mut self, id: SocketId) {
        if !self.joined.contains(&id) {
            self.updated.insert(id);
        }
    }

    pub(crate) fn leave(&mut self, id: SocketId) {
        self.updated.swap_remove(&id);
        if !self.joined.swap_remove(&id) {
            self.left.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_and_went_unseen_is_not_told_of() {
        let (mut changes, id) = (Changes::default(), SocketId::random());
        changes.join(id);
        changes.update(id);
        assert!(changes.updated.is_empty(), "it came with what it says");
        changes.leave(id);
        assert!(changes.is_empty());
    }

    #[test]
    fn who_went_and_is_back_has_changed() {
        let (mut changes, id) = (Changes::default(), SocketId::random());
        changes.update(id);
        changes.leave(id);
        assert!(changes.updated.is_empty() && changes.left.contains(&id));
        changes.join(id);
        assert!(changes.updated.contains(&id) && changes.joined.is_empty() && changes.left.is_empty());
    }
}
