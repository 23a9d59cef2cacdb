//! The membership of one node, as shared services see it.

use switchboard_event::{ProjectId, SocketId, Target};

/// The local members of every target. The hub's index implements it, so a [`Store`](crate::Store) reads local
/// membership without depending on the hub.
pub trait LocalMembers: Send + Sync {
    /// How many local sockets are in a target. For [`Target::Socket`], 1 if the project has it.
    fn count(&self, project: &ProjectId, target: &Target) -> usize;

    /// The local sockets in a target, unordered.
    fn members(&self, project: &ProjectId, target: &Target) -> Vec<SocketId>;

    /// How many users have a local socket.
    fn count_users(&self, project: &ProjectId) -> usize;

    /// Calls `visit` for each target of the project that has a local member. A lock is held meanwhile, so
    /// `visit` must not block or call back.
    fn for_each_target(&self, project: &ProjectId, visit: &mut dyn FnMut(&Target));

    /// Calls `visit` for each local member of each target. The members of a target are visited under its lock:
    /// a concurrent join or leave happens entirely before or after.
    fn for_each_member(&self, visit: &mut dyn FnMut(&ProjectId, &Target, SocketId));
}
