//! The seats this node gave, for the day on which Redis has lost them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{Name, ProjectId, SocketId};

/// Seats of this node.
#[derive(Default)]
pub(super) struct Held {
    seats: Mutex<HashMap<SocketId, Seat>>,
}

/// Where a socket sits.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) project: ProjectId,
    pub(super) shard: Name,
    pub(super) capacity: u32,
    /// The shard's number; 0 if it was asked for by name.
    pub(super) number: u64,
    /// What other nodes may know of the socket.
    pub(super) description: Option<Bytes>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Seat>> {
        self.seats.lock().expect("no code that holds the seats panics")
    }

    pub(super) fn note(&self, socket: SocketId, seat: Seat) {
        self.lock().insert(socket, seat);
    }

    pub(super) fn forget(&self, socket: SocketId) {
        self.lock().remove(&socket);
    }

    /// False if it has no seat.
    pub(super) fn describe(&self, socket: SocketId, description: &Bytes) -> bool {
        let mut seats = self.lock();
        let seat = seats.get_mut(&socket);
        seat.map(|seat| seat.description = Some(description.clone())).is_some()
    }

    /// Calls `visit` for each seat under the lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(SocketId, &Seat)) {
        self.lock().iter().for_each(|(socket, seat)| visit(*socket, seat));
    }
}
