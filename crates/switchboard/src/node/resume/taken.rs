//! A session that this node has taken from a dead one.

use std::sync::Arc;

use switchboard_event::{ProjectId, RoomName, SocketId, UserId};

use crate::node::Node;
use crate::node::reports::{self, EndedElsewhere};

/// A session that was taken from a dead node. When it is dropped, its entries are removed after those of the new session
/// were written, and its end is reported, unless the client has resumed it.
pub(crate) struct TakenSession {
    pub(super) node: Arc<Node>,
    pub(super) project: ProjectId,
    pub(crate) socket: SocketId,
    pub(super) user: Option<UserId>,
    pub(super) rooms: Vec<RoomName>,
    pub(crate) is_resumed: bool,
}

impl Drop for TakenSession {
    fn drop(&mut self) {
        self.node.hub().store().forget_session(&self.project, self.socket);
        let (user, rooms) = (self.user.take(), std::mem::take(&mut self.rooms));
        let ended = EndedElsewhere { project: &self.project, socket: self.socket, user, rooms };
        reports::report_end_elsewhere(&self.node, ended, self.is_resumed);
    }
}
