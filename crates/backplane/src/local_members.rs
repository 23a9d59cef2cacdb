//! What a node itself knows of its sockets.

use switchboard_event::{ProjectId, SocketId, Target};

/// The members of every target on this node. The hub's index implements it, so that a
/// [`Store`](crate::Store) can read local membership without depending on the hub.
pub trait LocalMembers: Send + Sync {
    /// How many local sockets are in a target. For [`Target::Socket`], 1 if the project has it.
    fn count(&self, project: &ProjectId, target: &Target) -> usize;

    /// The local sockets in a target, in no order.
    fn members(&self, project: &ProjectId, target: &Target) -> Vec<SocketId>;

    /// How many users have a local socket.
    fn count_users(&self, project: &ProjectId) -> usize;

    /// Calls `visit` for each target of the project with a local member, while holding a lock: `visit` must
    /// not block or call back.
    fn for_each_target(&self, project: &ProjectId, visit: &mut dyn FnMut(&Target));

    /// Calls `visit` for each local member of each target. A target's members are visited under its lock,
    /// so a concurrent join or leave happens wholly before or wholly after.
    fn for_each_member(&self, visit: &mut dyn FnMut(&ProjectId, &Target, SocketId));
}
