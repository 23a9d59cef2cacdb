//! One update of a shard's clients: its frames and their receivers.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{DeliveryClass, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji::{self, CLIENTS_CHANGED, CLIENTS_CHANGES};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;

/// The receivers of an update, and its contents.
#[derive(Default)]
pub(crate) struct Update {
    pub(crate) version: u64,
    pub(crate) clients: Vec<koji::Client>,
    /// Receive the whole list.
    pub(crate) to_all: Vec<Arc<Session>>,
    /// Receive the whole list with its version, which later changes refer to.
    pub(crate) to_new: Vec<Arc<Session>>,
    /// Receive the changes.
    pub(crate) to_watchers: Vec<Arc<Session>>,
    pub(crate) joined: Vec<koji::Client>,
    pub(crate) updated: Vec<koji::Client>,
    pub(crate) left: Vec<SocketId>,
}

/// Room for one entry of a list: the id and what surrounds it, and a short user info.
const ENTRY_BYTES: usize = 128;

impl Update {
    /// Sends it. Returns the clients whose outboxes had no room for it.
    pub(crate) fn send(&self, node: &Node) -> Vec<SocketId> {
        let mut missed = Vec::new();
        let mut deliver = |sessions: &[Arc<Session>], encode: &dyn Fn() -> Bytes| {
            if sessions.is_empty() {
                return;
            }
            let frame = encode();
            let (takers, others): (Vec<_>, Vec<_>) =
                sessions.iter().partition(|session| has_room(session, frame.len(), node));
            let delivered = node.hub().deliver_frame_to(takers, &frame, DeliveryClass::Live);
            node.meters().lists.increment(delivered.queued as u64);
            missed.extend(others.iter().map(|session| session.id));
        };
        // New clients last: they may send as soon as they know the others, and clients ignore senders that they do not know.
        deliver(&self.to_watchers, &|| self.changes_frame());
        deliver(&self.to_all, &|| self.list_frame(|_| ()));
        deliver(&self.to_new, &|| {
            self.list_frame(|out| out.extend_from_slice(format!(",\"version\":{}", self.version).as_bytes()))
        });
        missed
    }

    fn list_frame(&self, more: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        encode_with(OpCode::Text, ENTRY_BYTES * (1 + self.clients.len()), |out| {
            koji::write_platform(out, CLIENTS_CHANGED, |out| {
                out.extend_from_slice(b"{\"connectedClients\":");
                koji::write_clients(out, &self.clients);
                more(out);
                out.push(b'}');
            });
        })
    }

    fn changes_frame(&self) -> Bytes {
        let len = ENTRY_BYTES * (1 + self.joined.len() + self.updated.len() + self.left.len());
        encode_with(OpCode::Text, len, |out| {
            koji::write_platform(out, CLIENTS_CHANGES, |out| {
                out.extend_from_slice(format!("{{\"version\":{},\"joined\":", self.version).as_bytes());
                koji::write_clients(out, &self.joined);
                out.extend_from_slice(b",\"updated\":");
                koji::write_clients(out, &self.updated);
                out.extend_from_slice(b",\"left\":");
                serde_json::to_writer(&mut *out, &self.left)
                    .expect("ids are JSON and a Vec takes everything");
                out.push(b'}');
            });
        })
    }
}

/// Whether an outbox has room for a list of that length and is then at most half full. An empty one
/// takes every list, or long ones would never arrive.
pub(crate) fn has_room(session: &Session, len: usize, node: &Node) -> bool {
    let queued = session.outbox.queued_bytes();
    queued == 0 || queued + len <= node.limits().outbox_bytes_max / 2
}
