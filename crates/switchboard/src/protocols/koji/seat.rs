//! Takes and releases a client's seat on a shard.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_backplane::{BackplaneError, SeatRequest, Seated, Store};
use switchboard_event::{Payload, ProjectId, ShardName, SocketId};
use switchboard_wire::koji;
use switchboard_ws::close::CloseCode;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::node::Node;
use crate::node::clock::{now_ms, now_us};
use crate::node::refusal_reason::RefusalReason;
use crate::node::resume::seat::MovedSeat;
use crate::protocols::admission::AdmissionError;
use crate::protocols::koji::connect_params::ConnectParams;
use crate::protocols::koji::list_entry;
use crate::protocols::koji::member_entry::MemberEntry;

/// A seat on a shard. Dropping it releases the seat.
pub(crate) struct Seat {
    store: Arc<dyn Store>,
    project: ProjectId,
    pub(crate) shard: ShardName,
    /// The client's entry in the member list when it connected.
    pub(crate) entry: MemberEntry,
}

impl Seat {
    /// The first frames for the client: its id and its shard, and the ping whose pong enters it into the member
    /// list.
    pub(crate) fn greeting(&self) -> Bytes {
        let connected = connected_frame(self.entry.client.id, &self.shard);
        [&connected, list_entry::PING_FRAME].concat().into()
    }
}

/// CONNECTED: the id of a client, and its shard.
pub(crate) fn connected_frame(socket: SocketId, shard: &ShardName) -> Bytes {
    encode_with(OpCode::Text, 128 + shard.len(), |out| koji::write_connected(out, socket, shard))
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.store.leave_seat(&self.project, &self.shard, self.entry.client.id);
    }
}

/// A client has no seat. It is closed with 1013, after which clients connect again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    #[error("the project is full")]
    Full,
    /// The text is the reason of the close frame, so it does not contain the store's error.
    #[error("no seat can be taken at present")]
    Store(#[from] BackplaneError),
}

impl From<SeatError> for AdmissionError {
    fn from(error: SeatError) -> Self {
        let reason = match error {
            SeatError::Full => RefusalReason::ProjectFull,
            SeatError::Store(_) => RefusalReason::Unavailable,
        };
        AdmissionError { reason, code: CloseCode::TRY_AGAIN_LATER, message: error.to_string() }
    }
}

/// Takes a seat for a socket that is about to connect.
pub(crate) async fn take_seat(
    node: &Node,
    params: &ConnectParams,
    socket: SocketId,
) -> Result<Seat, SeatError> {
    let client = koji::Client { id: socket, user_info: Payload::EMPTY, last_ping_ms: now_ms() };
    let entry = MemberEntry { connected_us: now_us(), client };
    let (shard, overflow) = (params.shard.clone(), params.rules.named_overflow);
    let request = SeatRequest {
        socket,
        shard,
        capacity: params.capacity,
        overflow,
        project_max: params.rules.connections_max,
        previous: None,
        description: node.has_shared_store().then(|| entry.to_bytes()),
    };
    take(node, &params.project, request, entry).await
}

/// Takes the seat of a client that comes from another node, with its user info and its place in the order of the list.
pub(crate) async fn move_seat(
    node: &Node,
    params: &ConnectParams,
    socket: SocketId,
    moved: MovedSeat,
) -> Result<Seat, SeatError> {
    let client = koji::Client { id: socket, user_info: Payload::EMPTY, last_ping_ms: now_ms() };
    let known = MemberEntry::from_bytes(socket, &moved.description);
    let entry = known.unwrap_or(MemberEntry { connected_us: now_us(), client });
    let request = SeatRequest {
        socket,
        shard: Some(moved.shard),
        capacity: params.capacity,
        // The client has a seat there already.
        overflow: false,
        project_max: None,
        previous: Some(moved.previous),
        description: node.has_shared_store().then(|| entry.to_bytes()),
    };
    take(node, &params.project, request, entry).await
}

async fn take(
    node: &Node,
    project: &ProjectId,
    request: SeatRequest,
    entry: MemberEntry,
) -> Result<Seat, SeatError> {
    let store = node.hub().store().clone();
    match store.take_seat(project, request).await? {
        Seated::In(shard) => Ok(Seat { store, project: project.clone(), shard, entry }),
        Seated::Full => Err(SeatError::Full),
    }
}
