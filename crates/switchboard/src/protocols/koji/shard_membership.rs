//! A client's membership of its shard: the room, the seat and the entry in the member list.

use std::sync::Arc;

use switchboard_event::Target;
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::room_positions;
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::list_entry::NewClients;
use crate::protocols::koji::member_lists::MemberLists;
use crate::protocols::koji::seat::Seat;

/// A client's membership of its shard. Dropping it removes the client from the shard.
pub(crate) struct ShardMembership {
    node: Arc<Node>,
    session: Arc<Session>,
    /// `None` only during the drop.
    seat: Option<Seat>,
}

impl ShardMembership {
    /// Adds a connected client to the shard's room. It enters the member list when it has read CONNECTED.
    pub(crate) fn new(node: &Arc<Node>, session: &Arc<Session>, seat: Seat) -> Self {
        // Fails if the session has closed already; the membership is then dropped at once.
        let shard = Target::shard(&seat.shard);
        let _ = node.hub().join(session, &shard);
        room_positions::joined(node, session, &shard);
        let membership = ShardMembership { node: node.clone(), session: session.clone(), seat: Some(seat) };
        membership.client().set_member(node, session, true);
        node.extension::<NewClients>().add(node, session.id);
        membership
    }

    fn client(&self) -> &ClientState {
        client_of(&self.session).expect("only Koji clients have a seat")
    }
}

impl Drop for ShardMembership {
    fn drop(&mut self) {
        // Releasing the seat also deletes the stored entry. It precedes the update of the list, so that a
        // client that receives the update finds the seat free.
        self.client().set_member(&self.node, &self.session, false);
        drop(self.seat.take());
        self.node.extension::<MemberLists>().leave(&self.node, &self.client().shard, &self.session);
    }
}
