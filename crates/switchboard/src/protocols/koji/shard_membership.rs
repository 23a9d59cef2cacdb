//! A client's place on its shard: its room, its seat and its entry in the member list.

use std::sync::Arc;

use switchboard_event::Target;
use switchboard_hub::Session;

use crate::node::Node;
use crate::protocols::koji::client_state::{ClientState, client_of};
use crate::protocols::koji::member_lists::MemberLists;
use crate::protocols::koji::seat::Seat;

/// A client's place on its shard; it leaves when this is dropped.
pub(crate) struct ShardMembership {
    node: Arc<Node>,
    session: Arc<Session>,
    /// `None` only while it is being dropped.
    seat: Option<Seat>,
}

impl ShardMembership {
    /// Adds a client that the hub knows to the shard's room and member list.
    pub(crate) fn new(node: &Arc<Node>, session: &Arc<Session>, seat: Seat) -> Self {
        // It can have closed already; then it leaves the list as soon as it joined.
        let _ = node.hub().join(session, &Target::shard(&seat.shard));
        let place = ShardMembership { node: node.clone(), session: session.clone(), seat: Some(seat) };
        place.client().set_there(node, session, true);
        node.extension::<MemberLists>().joined(node, place.client(), session);
        place
    }

    fn client(&self) -> &ClientState {
        client_of(&self.session).expect("a seat is a Koji client's")
    }
}

impl Drop for ShardMembership {
    fn drop(&mut self) {
        // Its entry is deleted with its seat, and a client that is notified of its leaving finds the seat
        // free.
        self.client().set_there(&self.node, &self.session, false);
        drop(self.seat.take());
        self.node.extension::<MemberLists>().left(&self.node, &self.client().shard, &self.session);
    }
}
