//! The seats this node gave, for the day on which Redis has lost them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{ProjectId, ShardName, SocketId, Target};

/// Seats of this node.
#[derive(Default)]
pub(super) struct Held {
    seats: Mutex<HashMap<SocketId, Seat>>,
}

/// Where a socket sits.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) project: ProjectId,
    pub(super) shard: ShardName,
    pub(super) capacity: u32,
    /// The shard's number; 0 if it was asked for by name.
    pub(super) number: u64,
    /// What other nodes may know of the socket.
    pub(super) description: Option<Bytes>,
    /// What Redis has the socket in already, though the hub has not brought it there yet.
    pub(super) ahead: Vec<Target>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Seat>> {
        self.seats.lock().expect("no code that holds the seats panics")
    }

    pub(super) fn note(&self, socket: SocketId, seat: Seat) {
        self.lock().insert(socket, seat);
    }

    pub(super) fn forget(&self, socket: SocketId) -> Option<Seat> {
        self.lock().remove(&socket)
    }

    /// False if it has no seat, or this was said of it last.
    pub(super) fn describe(&self, socket: SocketId, description: &Bytes) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        seat.description.replace(description.clone()).as_ref() != Some(description)
    }

    /// The hub brought a socket into a target. True if Redis has it there since it took its seat.
    pub(super) fn caught_up(&self, socket: SocketId, target: &Target) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        let place = seat.ahead.iter().position(|ahead| ahead == target);
        place.map(|place| seat.ahead.swap_remove(place)).is_some()
    }

    /// Redis has lost what the hub did not do yet.
    pub(super) fn fall_back(&self) {
        self.lock().values_mut().for_each(|seat| seat.ahead.clear());
    }

    /// Calls `visit` for each seat under the lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SocketId, &Seat)) {
        self.lock().iter().for_each(|(socket, seat)| visit(*socket, seat));
    }
}
