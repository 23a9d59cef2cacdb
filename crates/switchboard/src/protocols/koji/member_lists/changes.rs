//! The changes of a member list since its last update.

use indexmap::IndexSet;
use switchboard_event::SocketId;

/// The clients that joined, changed or left. A client is in at most one of the sets.
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
        // A node that was considered dead can return with its clients.
        let set = if self.left.swap_remove(&id) { &mut self.updated } else { &mut self.joined };
        set.insert(id);
    }

    /// Records a change of the client's user info.
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
    fn a_client_that_joined_and_left_between_updates_is_no_change() {
        let (mut changes, id) = (Changes::default(), SocketId::random());
        changes.join(id);
        changes.update(id);
        assert!(changes.updated.is_empty(), "the new entry contains the user info");
        changes.leave(id);
        assert!(changes.is_empty());
    }

    #[test]
    fn a_client_that_left_and_returned_between_updates_is_a_changed_one() {
        let (mut changes, id) = (Changes::default(), SocketId::random());
        changes.update(id);
        changes.leave(id);
        assert!(changes.updated.is_empty() && changes.left.contains(&id));
        changes.join(id);
        assert!(changes.updated.contains(&id) && changes.joined.is_empty() && changes.left.is_empty());
    }
}
