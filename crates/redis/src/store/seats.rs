//! The seats of this node's sockets, kept so that they can be written again when Redis has lost them.

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
    /// Targets in which Redis has had the socket since it took the seat, and which the hub has yet to enter.
    pub(super) entered_ahead: Vec<Target>,
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

    /// Returns false if the socket has no seat, or this description already.
    pub(super) fn describe(&self, socket: SocketId, description: &Bytes) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        seat.description.replace(description.clone()).as_ref() != Some(description)
    }

    /// The hub enters a socket into a target. Returns true if Redis has the socket there already.
    pub(super) fn catch_up(&self, socket: SocketId, target: &Target) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        let index = seat.entered_ahead.iter().position(|ahead| ahead == target);
        index.map(|index| seat.entered_ahead.swap_remove(index)).is_some()
    }

    /// Redis has lost the targets that were entered ahead.
    pub(super) fn forget_entered_ahead(&self) {
        self.lock().values_mut().for_each(|seat| seat.entered_ahead.clear());
    }

    /// Calls `visit` for each seat, holding the lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SocketId, &Seat)) {
        self.lock().iter().for_each(|(socket, seat)| visit(*socket, seat));
    }
}
