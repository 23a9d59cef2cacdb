//! What a shard is told: to whom, and as which frames.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{DeliveryClass, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji::{self, CLIENTS_CHANGED, CLIENTS_CHANGES};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::api::app::App;

/// What is told to whom.
#[derive(Default)]
pub(super) struct News {
    pub(super) version: u64,
    pub(super) clients: Vec<koji::Client>,
    /// These get the list.
    pub(super) to_all: Vec<Arc<Session>>,
    /// These get the list with its version, to go on from.
    pub(super) to_new: Vec<Arc<Session>>,
    /// These get only what has changed.
    pub(super) to_watchers: Vec<Arc<Session>>,
    pub(super) joined: Vec<koji::Client>,
    pub(super) updated: Vec<koji::Client>,
    pub(super) left: Vec<SocketId>,
}

/// Room for one entry of a list: the id and what surrounds it, and a short user info.
const ENTRY_BYTES: usize = 128;

impl News {
    /// Sends it, and returns who had no room for it.
    pub(super) fn send(&self, app: &App) -> Vec<SocketId> {
        let mut missed = Vec::new();
        let mut deliver = |sessions: &[Arc<Session>], encode: &dyn Fn() -> Bytes| {
            if sessions.is_empty() {
                return;
            }
            let frame = encode();
            let (takers, others): (Vec<_>, Vec<_>) =
                sessions.iter().partition(|session| takes(session, frame.len(), app));
            let told = app.hub().deliver_frame_to(takers, &frame, DeliveryClass::Live);
            app.meters().lists.increment(told.queued as u64);
            missed.extend(others.iter().map(|session| session.id));
        };
        // Who is new last: it may speak as soon as it knows of the others, and they pass over who they do not know.
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

/// Whether a list of that length leaves an outbox half of its room for events. An empty one takes
/// every list, or long ones would never arrive.
pub(super) fn takes(session: &Session, len: usize, app: &App) -> bool {
    let queued = session.outbox.queued_bytes();
    queued == 0 || queued + len <= app.limits().outbox_bytes_max / 2
}
