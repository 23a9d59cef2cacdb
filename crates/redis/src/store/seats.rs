//! The seats of this node's sockets, stored locally so that they can be written again if Redis loses them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{ProjectId, ShardName, SocketId, Target};

#[derive(Default)]
pub(super) struct LocalSeats {
    seats: Mutex<HashMap<SocketId, Seat>>,
}

/// The seat of a socket.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) project: ProjectId,
    pub(super) shard: ShardName,
    pub(super) capacity: u32,
    /// Number of an automatic shard; 0 for one requested by name.
    pub(super) number: u64,
    /// The member list entry of the socket.
    pub(super) description: Option<Bytes>,
    /// Targets that the seat script has entered in Redis, and that the hub has not entered yet.
    pub(super) entered_with_seat: Vec<Target>,
}

impl LocalSeats {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Seat>> {
        self.seats.lock().expect("no code that holds the seats panics")
    }

    pub(super) fn insert(&self, socket: SocketId, seat: Seat) {
        self.lock().insert(socket, seat);
    }

    pub(super) fn remove(&self, socket: SocketId) -> Option<Seat> {
        self.lock().remove(&socket)
    }

    /// Replaces the description of a socket. Returns false if it has no seat, or has this description already.
    pub(super) fn describe(&self, socket: SocketId, description: &Bytes) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        seat.description.replace(description.clone()).as_ref() != Some(description)
    }

    /// Records that the hub enters a socket into a target. Returns true if Redis contains the entry already.
    pub(super) fn take_entered(&self, socket: SocketId, target: &Target) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        let index = seat.entered_with_seat.iter().position(|entered| entered == target);
        index.map(|index| seat.entered_with_seat.swap_remove(index)).is_some()
    }

    /// Clears the targets that were entered with a seat, after Redis has lost them.
    pub(super) fn clear_entered_with_seat(&self) {
        self.lock().values_mut().for_each(|seat| seat.entered_with_seat.clear());
    }

    /// Calls `visit` for each seat, holding the lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SocketId, &Seat)) {
        self.lock().iter().for_each(|(socket, seat)| visit(*socket, seat));
    }
}
