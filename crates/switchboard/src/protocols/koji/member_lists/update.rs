//! One update of a member list: its frames and their receivers.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{DeliveryClass, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji::{self, CLIENTS_CHANGED, CLIENTS_CHANGES};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;

/// The contents of an update and its receivers.
#[derive(Default)]
pub(crate) struct Update {
    pub(crate) version: u64,
    pub(crate) clients: Vec<koji::Client>,
    /// Clients that receive the whole list.
    pub(crate) list_receivers: Vec<Arc<Session>>,
    /// Clients that receive the whole list with its version, to which later changes refer.
    pub(crate) versioned_list_receivers: Vec<Arc<Session>>,
    /// Clients that receive the changes.
    pub(crate) changes_receivers: Vec<Arc<Session>>,
    pub(crate) joined: Vec<koji::Client>,
    pub(crate) updated: Vec<koji::Client>,
    pub(crate) left: Vec<SocketId>,
}

/// Estimated length of one entry of a list: the id, a short user info and the field names.
const ENTRY_BYTES: usize = 128;

impl Update {
    /// Sends the update. Returns the clients whose outboxes had no room for it.
    pub(crate) fn send(&self, node: &Node) -> Vec<SocketId> {
        let mut missed = Vec::new();
        let mut deliver = |sessions: &[Arc<Session>], encode: &dyn Fn() -> Bytes| {
            if sessions.is_empty() {
                return;
            }
            let frame = encode();
            let (receivers, full): (Vec<_>, Vec<_>) =
                sessions.iter().partition(|session| has_room(session, frame.len(), node));
            let delivered = node.hub().deliver_frame_to(receivers, &frame, DeliveryClass::Live);
            node.meters().lists.increment(delivered.queued as u64);
            missed.extend(full.iter().map(|session| session.id));
        };
        // New clients last: they may send once they have the list, and the other clients ignore unknown senders.
        deliver(&self.changes_receivers, &|| self.changes_frame());
        deliver(&self.list_receivers, &|| self.list_frame(|_| ()));
        deliver(&self.versioned_list_receivers, &|| {
            self.list_frame(|out| out.extend_from_slice(format!(",\"version\":{}", self.version).as_bytes()))
        });
        missed
    }

    fn list_frame(&self, write_version: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        encode_with(OpCode::Text, ENTRY_BYTES * (1 + self.clients.len()), |out| {
            koji::write_platform(out, CLIENTS_CHANGED, |out| {
                out.extend_from_slice(b"{\"connectedClients\":");
                koji::write_clients(out, &self.clients);
                write_version(out);
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
                    .expect("ids are valid JSON and writing to a Vec cannot fail");
                out.push(b'}');
            });
        })
    }
}

/// Returns true if an outbox is at most half full with another `len` bytes. An empty outbox accepts a list
/// of any length, because a long list could never be sent otherwise.
pub(crate) fn has_room(session: &Session, len: usize, node: &Node) -> bool {
    let queued = session.outbox.queued_bytes();
    queued == 0 || queued + len <= node.limits().outbox_bytes_max / 2
}
