//! Recovery: a client that has resumed its session shows the last position that it knows of each room, and receives the
//! messages that it has missed, in order and before live ones.
//!
//! A room is recovered completely or not at all. Live messages are held back in the outbox from the attachment of the
//! session until the recovery has ended, or the client turns out to show no positions. A message that is sent in between
//! may be delivered twice, with the same position.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchboard_backplane::{HistoryPage, HistoryRange};
use switchboard_event::{Payload, Position, RoomName};
use switchboard_hub::Session;

use super::session_state::ResumeState;
use crate::node::Node;
use crate::node::connection_state::{ConnectionState, is_closed};
use crate::node::history::read;
use crate::node::history_request::is_excluded;

/// How long live messages wait for the positions of the client.
const POSITIONS_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a recovery looks whether the client has accepted enough to be sent more.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The divisor of the outbox's bound that missed messages may fill; the rest is for live ones.
const OUTBOX_PART: usize = 2;

#[derive(Deserialize)]
struct PositionFields {
    epoch: String,
    offset: u64,
}

/// Ends the pause of an outbox, which holds live messages back, when the client has received what it missed. Returns
/// false if it gets nothing: the caller ends the pause.
pub(crate) fn await_positions(node: &Arc<Node>, session: &Arc<Session>) -> bool {
    let Some(state) = ConnectionState::of(session).resume() else { return false };
    if node.hub().history().is_none() || !session.wants_positions {
        return false;
    }
    state.set_awaits_positions();
    let (node, session, epoch) = (node.clone(), session.clone(), state.epoch());
    node.tasks.clone().spawn_service(async move {
        tokio::time::sleep(POSITIONS_TIMEOUT).await;
        if ConnectionState::of(&session).resume().is_some_and(|state| state.epoch() == epoch) {
            stop_awaiting(&node, &session);
        }
    });
    true
}

/// Releases the live messages, because the client shows no positions or is gone. Does nothing the second time.
pub(crate) fn stop_awaiting(node: &Node, session: &Arc<Session>) {
    if ConnectionState::of(session).resume().is_some_and(ResumeState::take_awaits_positions) {
        node.hub().resume(session, |_| false);
    }
}

/// Records that a frame has arrived that shows no positions: the client shows them first, or it shows none.
pub(crate) fn received_other(node: &Node, session: &Arc<Session>) {
    if ConnectionState::of(session).resume().is_some_and(ResumeState::awaits_positions) {
        stop_awaiting(node, session);
    }
}

/// Starts to send what the client has missed after these positions, by room. Returns false if it has shown positions
/// before, or has not resumed its session.
pub(crate) fn begin(node: &Arc<Node>, session: &Arc<Session>, positions: &Payload) -> bool {
    let Some(state) = ConnectionState::of(session).resume() else { return false };
    if !state.take_awaits_positions() {
        return false;
    }
    let positions: HashMap<String, PositionFields> = positions.to().unwrap_or_default();
    let position = |PositionFields { epoch, offset }: PositionFields| {
        Some(Position { epoch: epoch.parse().ok()?, offset })
    };
    let positions =
        positions.into_iter().filter_map(|(room, fields)| Some((room, position(fields)?))).collect();
    let recovery = Recovery { node: node.clone(), session: session.clone(), positions, epoch: state.epoch() };
    node.tasks.spawn(recovery.run());
    true
}

/// The recovery of one session. The outbox is paused until it is dropped.
struct Recovery {
    node: Arc<Node>,
    session: Arc<Session>,
    positions: HashMap<String, Position>,
    /// The number of resumes of the session when this recovery began; a larger one in the session means that the connection is gone.
    epoch: u32,
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.node.hub().resume(&self.session, |_| false);
    }
}

impl Recovery {
    async fn run(self) {
        let mut rooms = Map::new();
        for room in self.session.rooms() {
            let Some(outcome) = self.recover(&room).await else { return };
            rooms.insert(room.to_string(), outcome);
        }
        let data = Payload::of(&json!({ "rooms": rooms })).expect("texts and numbers are JSON");
        if let Some(frame) = (self.node.encoders().notice)(self.session.protocol, "@recovered", &data) {
            self.send(&frame).await;
        }
    }

    /// Sends the missed messages of a room. Returns the outcome, or `None` if the connection is gone.
    async fn recover(&self, room: &RoomName) -> Option<Value> {
        let count_max = self.node.hub().history().and_then(|history| history.rules.limits(room));
        let Some(limits) = count_max else { return Some(json!({ "recovered": false })) };
        let position = self.positions.get(&**room).copied();
        let range = HistoryRange::After(position.map_or(u64::MAX, |position| position.offset));
        let count_max = usize::try_from(limits.messages_max).unwrap_or(usize::MAX);
        let page = read(&self.node, &self.session.project.id, room, range, count_max).await;
        let Ok(page) = page else { return Some(json!({ "recovered": false })) };
        if !is_complete(&page, position) {
            return Some(json!({ "recovered": false, "at": page.top_position() }));
        }
        let mut count = 0;
        for message in &page.messages {
            if is_excluded(&self.session, &message.except) {
                continue;
            }
            let at = Position { epoch: page.epoch, offset: message.offset };
            let encode = self.node.encoders().event;
            let Some(frame) = encode(self.session.protocol, &message.event, Some((room, at))) else {
                continue;
            };
            if !self.send(&frame).await {
                return None;
            }
            count += 1;
        }
        Some(json!({ "recovered": true, "count": count }))
    }

    /// Sends a frame once the client has accepted most of the earlier ones. Returns false if the connection is gone.
    async fn send(&self, frame: &bytes::Bytes) -> bool {
        let bytes_max = self.node.limits().outbox_bytes_max / OUTBOX_PART;
        while self.is_current() && self.session.outbox.queued_bytes() > bytes_max {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        // Locked, so that no frame reaches a later connection.
        let state = self.state();
        let _attached = state.lock_attachment();
        self.is_current() && self.node.hub().deliver_ahead(&self.session, frame)
    }

    fn state(&self) -> &ResumeState {
        ConnectionState::of(&self.session).resume_or_new()
    }

    fn is_current(&self) -> bool {
        self.state().epoch() == self.epoch && !is_closed(&self.session)
    }
}

/// Returns true if the page has every message after the position. Without a position, if the room never had a message.
fn is_complete(page: &HistoryPage, position: Option<Position>) -> bool {
    let Some(position) = position else { return page.top == 0 };
    let expected = page.top.saturating_sub(position.offset);
    page.continues(position) && page.messages.len() as u64 == expected
}
