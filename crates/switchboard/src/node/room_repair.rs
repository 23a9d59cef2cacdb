//! Keeps the rooms of this node complete when publications of their history were lost: reads the missing messages once for
//! all members, delivers them, and announces lost messages to the members.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use metrics::counter;
use serde_json::json;
use switchboard_backplane::HistoryRange;
use switchboard_event::{Payload, ProjectId, RoomName, Target};
use switchboard_hub::{Filled, Gap};
use switchboard_log::{limited, printable};

use crate::node::Node;
use crate::node::history::read;
use crate::node::room_positions;

/// Attempts to read a history, and the pause before the second; each pause is twice as long as the one before.
const ATTEMPTS_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Rooms that are read at a time after an outage.
const ROOMS_AT_A_TIME: usize = 16;

/// Called when a room gets its first member on this node: reads the latest position of the room, from which the node follows it.
pub(crate) fn begin_room(node: &Arc<Node>, project: ProjectId, room: RoomName, number: u64) {
    let this = node.clone();
    node.tasks.try_spawn_service(async move {
        // Without an answer the node follows the room from the next message on.
        if let Ok(page) = read(&this, &project, &room, HistoryRange::Latest, 0).await {
            this.hub().begin_room(&project, &room, number, page.top_position());
            room_positions::begun(&this, &project, &room, number).await;
        }
    });
}

/// Repairs a paused room.
pub(crate) fn repair(node: &Arc<Node>, project: ProjectId, room: RoomName) {
    let this = node.clone();
    node.tasks.spawn_service(async move { fill(&this, &project, &room).await });
}

/// Checks all rooms, because publications may have been lost.
pub(crate) fn repair_all(node: &Arc<Node>) {
    let rooms = node.hub().followed_rooms();
    if rooms.is_empty() {
        return;
    }
    let this = node.clone();
    node.tasks.spawn_service(async move {
        let repairs = stream::iter(rooms).for_each_concurrent(ROOMS_AT_A_TIME, |(project, room)| {
            let this = this.clone();
            async move {
                if this.hub().pause_room(&project, &room) {
                    fill(&this, &project, &room).await;
                }
            }
        });
        repairs.await;
    });
}

/// Reads and delivers the messages that a paused room has missed.
async fn fill(node: &Node, project: &ProjectId, room: &RoomName) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..ATTEMPTS_MAX {
        let Some(at) = node.hub().paused_room_at(project, room) else { return };
        match read(node, project, room, HistoryRange::After(at.offset), usize::MAX).await {
            Ok(page) => {
                let Filled { gap, has_hole } = node.hub().fill_room(project, room, page);
                finish(node, project, room, gap);
                if !has_hole {
                    return;
                }
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    let mut has_hole = true;
    while has_hole {
        let skipped = node.hub().skip_hole(project, room);
        finish(node, project, room, skipped.gap);
        has_hole = skipped.has_hole;
    }
}

/// Counts a repair, and announces a gap to the members that understand it.
fn finish(node: &Node, project: &ProjectId, room: &RoomName, gap: Option<Gap>) {
    let outcome = if gap.is_some() { "gap" } else { "complete" };
    counter!("switchboard_history_repairs_total", "outcome" => outcome).increment(1);
    let Some(Gap { offsets }) = gap else { return };
    limited!(
        WARN,
        project = printable(project),
        room = printable(room),
        "messages of a room are lost for the members on this node; they are notified"
    );
    let data = match offsets {
        Some((from, to)) => json!({ "room": room, "from": from, "to": to }),
        None => json!({ "room": room }),
    };
    let data = Payload::of(&data).expect("names and numbers are valid JSON");
    for session in node.hub().members(project, &Target::Room(room.clone()).into()) {
        node.notify_extension(&session, "gap", &data);
    }
}
