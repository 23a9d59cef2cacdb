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
    /// The queue contains a change that will write the description.
    pub(super) is_description_queued: bool,
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

    /// Replaces the description of a socket. Returns true if it must be queued: false if the socket has no seat, has
    /// this description already, or is queued.
    pub(super) fn describe(&self, socket: SocketId, description: &Bytes) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.get_mut(&socket) else { return false };
        let is_new = seat.description.replace(description.clone()).as_ref() != Some(description);
        is_new && !std::mem::replace(&mut seat.is_description_queued, true)
    }

    /// Records that the queued description of a socket is about to be written.
    pub(super) fn begin_description(&self, socket: SocketId) {
        if let Some(seat) = self.lock().get_mut(&socket) {
            seat.is_description_queued = false;
        }
    }

    /// The description of a socket that has a seat.
    pub(super) fn description(&self, socket: SocketId) -> Option<Bytes> {
        self.lock().get(&socket)?.description.clone()
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
    pub(super) fn for_each(&self, mut visit: impl FnMut(SocketId, &mut Seat)) {
        self.lock().iter_mut().for_each(|(socket, seat)| visit(*socket, seat));
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::name;

    use super::*;

    #[test]
    fn a_description_is_queued_once_until_it_is_written() {
        let (seats, socket) = (LocalSeats::default(), SocketId::random());
        let describe = |text: &'static str| seats.describe(socket, &Bytes::from_static(text.as_bytes()));
        assert!(!describe("a"), "it has no seat");
        let seat = Seat {
            project: name("p"),
            shard: name("s"),
            capacity: 1,
            number: 0,
            description: Some(Bytes::from_static(b"a")),
            is_description_queued: false,
            entered_with_seat: Vec::new(),
        };
        seats.insert(socket, seat);
        assert!(!describe("a"), "it is unchanged");
        assert!(describe("b") && !describe("c") && !describe("a"));
        assert_eq!(seats.description(socket).as_deref(), Some(&b"a"[..]));
        seats.begin_description(socket);
        assert!(!describe("a") && describe("b"));
        seats.remove(socket);
        assert_eq!(seats.description(socket), None);
    }
}
