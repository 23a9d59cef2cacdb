//! Positions of members that have received nothing yet: a client that is cut off before the first message of a room recovers what it
//! misses, if it knows the end of the room's history at its join.
//!
//! A position is announced while nothing of the room is delivered, so it is exact: the client has received every message up to it
//! that was sent after its join. On a node with Redis the position of the first member is known when the history was read and the
//! publications that were under way have arrived.

use std::sync::Arc;

use serde_json::json;
use switchboard_event::{OverflowPolicy, Payload, Position, ProjectId, RoomName, Target};
use switchboard_hub::Session;

use crate::node::Node;

/// The event with the position.
const JOINED: &str = "@joined";

/// Announces its position to a client that has joined a target, if the target is a room with a history and the client receives positions.
pub(crate) fn joined(node: &Node, session: &Arc<Session>, target: &Target) {
    if let Target::Room(room) = target
        && session.wants_positions
    {
        node.hub().with_room_position(session, room, &mut |position| announce(node, session, room, position));
    }
}

/// Announces to the members of a room that has begun on this node where its history ended, once they have received everything
/// up to there.
pub(crate) async fn begun(node: &Node, project: &ProjectId, room: &RoomName, number: u64) {
    let hub = node.hub();
    if hub.bus().caught_up(project, &Target::Room(room.clone())).await {
        hub.settle_room(project, room, number, |session, position| announce(node, session, room, position));
    }
}

fn announce(node: &Node, session: &Arc<Session>, room: &RoomName, position: Position) {
    let data = json!({ "room": room, "position": position });
    let data = Payload::of(&data).expect("names and numbers are valid JSON");
    // In its place among the messages of the room, also while older ones are redelivered.
    if let Some(frame) = (node.encoders().notice)(session.protocol, JOINED, &data) {
        node.hub().deliver_frame(session, &frame, OverflowPolicy::Live);
    }
}
