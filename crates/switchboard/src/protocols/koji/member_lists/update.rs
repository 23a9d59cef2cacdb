//! One update of a member list: its frames and their receivers.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{OverflowPolicy, SocketId};
use switchboard_hub::{Session, Slot};
use switchboard_wire::koji::{self, CLIENTS_CHANGED, CLIENTS_CHANGES, clients_bytes_max};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;
use crate::protocols::koji::member_lists::versions::Versions;

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

/// The most bytes of a frame without its clients: the names of the event and of the fields, and a version.
const HEAD_BYTES_MAX: usize = 160;

/// Bytes of an id in the list of those that left: quotes and a comma are included.
const ID_BYTES: usize = 39;

impl Update {
    /// The most bytes that one client receives.
    pub(crate) fn bytes(&self) -> usize {
        self.list_bytes().max(self.changes_bytes())
    }

    fn list_bytes(&self) -> usize {
        HEAD_BYTES_MAX + clients_bytes_max(&self.clients)
    }

    fn changes_bytes(&self) -> usize {
        let clients = clients_bytes_max(&self.joined) + clients_bytes_max(&self.updated);
        HEAD_BYTES_MAX + clients + ID_BYTES * self.left.len()
    }

    /// Sends the update. Returns the clients whose outboxes had no space for the changes.
    pub(crate) fn send(&self, node: &Node, versions: &mut Versions) -> Vec<SocketId> {
        let missed = self.send_changes(node);
        // New clients last: they may send once they have the list, and the other clients ignore unknown senders.
        let mut send_list = |receivers: &[Arc<Session>], write_version: &dyn Fn(&mut Vec<u8>)| {
            if !receivers.is_empty() {
                let frame = versions.add(self.list_frame(write_version));
                let delivered = node.hub().deliver_latest(receivers, &frame, Slot::State);
                node.meters().lists.increment(delivered.queued as u64);
            }
        };
        send_list(&self.list_receivers, &|_| ());
        send_list(&self.versioned_list_receivers, &|out| {
            out.extend_from_slice(format!(",\"version\":{}", self.version).as_bytes());
        });
        missed
    }

    fn send_changes(&self, node: &Node) -> Vec<SocketId> {
        if self.changes_receivers.is_empty() {
            return Vec::new();
        }
        let frame = self.changes_frame();
        let (receivers, full): (Vec<_>, Vec<_>) =
            self.changes_receivers.iter().partition(|session| has_space(session, frame.len(), node));
        let delivered = node.hub().deliver_frame_to(receivers, &frame, OverflowPolicy::Live);
        node.meters().lists.increment(delivered.queued as u64);
        full.iter().map(|session| session.id).collect()
    }

    fn list_frame(&self, write_version: &dyn Fn(&mut Vec<u8>)) -> Bytes {
        encode_with(OpCode::Text, self.list_bytes(), |out| {
            koji::write_platform(out, CLIENTS_CHANGED, |out| {
                out.extend_from_slice(b"{\"connectedClients\":");
                koji::write_clients(out, &self.clients);
                write_version(out);
                out.push(b'}');
            });
        })
    }

    fn changes_frame(&self) -> Bytes {
        encode_with(OpCode::Text, self.changes_bytes(), |out| {
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

/// Returns true if an outbox is at most half full with another `len` bytes. A client without this space is sent the list
/// instead, which does not count.
fn has_space(session: &Session, len: usize, node: &Node) -> bool {
    session.outbox.bounded_bytes() + len <= node.limits().outbox_bytes_max / 2
}
