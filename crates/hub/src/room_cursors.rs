//! The position up to which this node has received each room whose history publishes messages after it has numbered them.
//!
//! A publication that does not follow the last one shows a hole. The room is then paused: later publications are held until
//! the missing stretch was read from the history and delivered. Deliveries happen under the lock, so that those of a
//! publication and of a stretch do not overlap.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use switchboard_backplane::Publication;
use switchboard_event::{Position, ProjectId, RoomName};

/// Most publications of a paused room that are held. If more arrive, all of them are read from the history.
const HELD_MAX: usize = 1024;

/// A room in a project.
pub(crate) type RoomKey = (ProjectId, RoomName);

#[derive(Default)]
pub(crate) struct RoomCursors(Mutex<Cursors>);

#[derive(Default)]
struct Cursors {
    rooms: HashMap<RoomKey, Cursor>,
    last_beginning: u64,
}

#[derive(Debug)]
enum Cursor {
    /// The room has its first member on this node, and nothing has arrived. The number distinguishes the beginnings of one room.
    Beginning(u64),
    /// The history ended here soon after the room had its first member. Publications up to here may still be under way. The
    /// number is that of the beginning.
    Begun(u64, Position),
    /// Everything up to here was received.
    At(Position),
    /// The room is paused behind this position.
    Paused { at: Position, held: Vec<(Position, Publication)> },
}

/// The action on a publication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Deliver it.
    Deliver,
    /// Nothing: it was delivered already, or it is held.
    None,
    /// Messages before it are missing. It is held, and the room is paused.
    Hole,
}

impl RoomCursors {
    fn lock(&self) -> MutexGuard<'_, Cursors> {
        self.0.lock().expect("no code that holds the cursors panics")
    }

    /// Passes a publication to `deliver`, if it is the next of its room.
    pub(crate) fn arrived(
        &self,
        room: RoomKey,
        position: Position,
        publication: Publication,
        deliver: impl FnOnce(Publication),
    ) -> Arrival {
        let mut cursors = self.lock();
        let Some(cursor) = cursors.rooms.get_mut(&room) else {
            cursors.rooms.insert(room, Cursor::At(position));
            deliver(publication);
            return Arrival::Deliver;
        };
        let arrival = cursor.arrival(position);
        match arrival {
            Arrival::Deliver => deliver(publication),
            Arrival::Hole => cursor.pause().push((position, publication)),
            Arrival::None => cursor.hold(position, publication),
        }
        arrival
    }

    /// Follows a room that has its first member on this node. Returns the number of the beginning.
    pub(crate) fn follow(&self, room: RoomKey) -> u64 {
        let mut cursors = self.lock();
        cursors.last_beginning += 1;
        let number = cursors.last_beginning;
        cursors.rooms.insert(room, Cursor::Beginning(number));
        number
    }

    /// Sets where the history ended soon after a beginning, unless something has arrived since.
    pub(crate) fn begin(&self, room: &RoomKey, number: u64, position: Position) {
        if let Some(cursor) = self.lock().rooms.get_mut(room)
            && matches!(cursor, Cursor::Beginning(this) if *this == number)
        {
            *cursor = Cursor::Begun(number, position);
        }
    }

    /// Records that no publication up to the position of a beginning is under way, and calls `visit` with that position. Does
    /// nothing if something has arrived since.
    pub(crate) fn settle(&self, room: &RoomKey, number: u64, visit: impl FnOnce(Position)) {
        if let Some(cursor) = self.lock().rooms.get_mut(room)
            && let Cursor::Begun(this, at) = *cursor
            && this == number
        {
            *cursor = Cursor::At(at);
            visit(at);
        }
    }

    /// Calls `visit` with the position up to which everything was delivered, while nothing else is. Returns false if it is not
    /// known.
    pub(crate) fn with_position(&self, room: &RoomKey, visit: &mut dyn FnMut(Position)) -> bool {
        let cursors = self.lock();
        let Some(Cursor::At(at)) = cursors.rooms.get(room) else { return false };
        visit(*at);
        true
    }

    /// Pauses a room. Returns false if it was paused already, or if its position is unknown.
    pub(crate) fn pause(&self, room: &RoomKey) -> bool {
        match self.lock().rooms.get_mut(room) {
            Some(cursor @ (Cursor::Begun(..) | Cursor::At(_))) => {
                cursor.pause();
                true
            }
            Some(Cursor::Beginning(_) | Cursor::Paused { .. }) | None => false,
        }
    }

    /// The position of a paused room.
    pub(crate) fn paused_at(&self, room: &RoomKey) -> Option<Position> {
        match self.lock().rooms.get(room) {
            Some(Cursor::Paused { at, .. }) => Some(*at),
            _ => None,
        }
    }

    /// Ends the pause of a room: calls `deliver_stretch`, then `deliver` with each held publication that follows `up_to`, the
    /// end of the stretch. Returns true if a hole is left, for which the room stays paused.
    pub(crate) fn resume(
        &self,
        room: &RoomKey,
        up_to: Position,
        deliver_stretch: impl FnOnce(),
        mut deliver: impl FnMut(Publication),
    ) -> bool {
        let mut cursors = self.lock();
        let Some(cursor) = cursors.rooms.get_mut(room) else { return false };
        let Cursor::Paused { at, held } = cursor else { return false };
        // The rest of an ended epoch is part of the gap.
        let ended = (at.epoch != up_to.epoch).then_some(at.epoch);
        let held = std::mem::take(held);
        *cursor = Cursor::At(up_to);
        deliver_stretch();
        for (position, publication) in held {
            if ended == Some(position.epoch) {
                continue;
            }
            match cursor.arrival(position) {
                Arrival::Deliver => deliver(publication),
                Arrival::Hole => cursor.pause().push((position, publication)),
                Arrival::None => cursor.hold(position, publication),
            }
        }
        matches!(cursor, Cursor::Paused { .. })
    }

    /// The position before the first held publication of a paused room, or that of the room if none is held.
    pub(crate) fn before_held(&self, room: &RoomKey) -> Option<Position> {
        match self.lock().rooms.get(room)? {
            Cursor::Paused { at, held } => Some(
                held.first()
                    .map_or(*at, |(position, _)| Position { offset: position.offset - 1, ..*position }),
            ),
            _ => None,
        }
    }

    /// Forgets a room that has no member on this node.
    pub(crate) fn forget(&self, room: &RoomKey) {
        self.lock().rooms.remove(room);
    }

    /// The rooms that this node receives.
    pub(crate) fn rooms(&self) -> Vec<RoomKey> {
        self.lock().rooms.keys().cloned().collect()
    }
}

impl Cursor {
    /// Classifies a publication, and advances if it is the next.
    fn arrival(&mut self, position: Position) -> Arrival {
        // The first and the last offset that may come next.
        let (first, last) = match self {
            Cursor::Paused { .. } => return Arrival::None,
            Cursor::Beginning(_) => (0, u64::MAX),
            Cursor::Begun(_, at) if at.epoch == position.epoch => (0, at.offset + 1),
            Cursor::At(at) if at.epoch == position.epoch => (at.offset + 1, at.offset + 1),
            Cursor::Begun(..) | Cursor::At(_) => (1, 1),
        };
        if position.offset < first {
            return Arrival::None;
        }
        if position.offset > last {
            return Arrival::Hole;
        }
        *self = Cursor::At(position);
        Arrival::Deliver
    }

    fn pause(&mut self) -> &mut Vec<(Position, Publication)> {
        if let Cursor::Begun(_, at) | Cursor::At(at) = *self {
            *self = Cursor::Paused { at, held: Vec::new() };
        }
        match self {
            Cursor::Paused { held, .. } => held,
            _ => unreachable!("a room is paused behind a position"),
        }
    }

    fn hold(&mut self, position: Position, publication: Publication) {
        if let Cursor::Paused { held, .. } = self {
            if held.len() == HELD_MAX {
                held.clear();
            }
            held.push((position, publication));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use switchboard_backplane::Content;
    use switchboard_event::{Audience, Epoch};

    use super::*;

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch(epoch), offset }
    }

    /// Cursors of one room, and the codes of the publications that were delivered.
    #[derive(Default)]
    struct Room {
        cursors: RoomCursors,
        delivered: RefCell<Vec<u16>>,
    }

    impl Room {
        fn key() -> RoomKey {
            (ProjectId::new("p").unwrap(), RoomName::new("r").unwrap())
        }

        /// A publication with its offset as its code.
        fn arrives(&self, epoch: u64, offset: u64) -> Arrival {
            let content = Content::Close { code: offset as u16, reason: "".into() };
            let publication = Publication { project: Room::key().0, audience: Audience::default(), content };
            self.cursors.arrived(Room::key(), at(epoch, offset), publication, |one| self.deliver(one))
        }

        fn deliver(&self, publication: Publication) {
            let Content::Close { code, .. } = publication.content else { panic!("it was made above") };
            self.delivered.borrow_mut().push(code);
        }

        /// The stretch is delivered as 0.
        fn resume(&self, up_to: Position) -> bool {
            let stretch = || self.delivered.borrow_mut().push(0);
            self.cursors.resume(&Room::key(), up_to, stretch, |one| self.deliver(one))
        }
    }

    #[test]
    fn publications_behind_a_hole_are_held_until_the_stretch_is_delivered() {
        let room = Room::default();
        assert_eq!(room.arrives(1, 5), Arrival::Deliver, "the first one begins the room");
        assert_eq!([5, 6, 8, 9].map(|n| room.arrives(1, n)), {
            use Arrival::{Deliver, Hole, None};
            [None, Deliver, Hole, None]
        });
        assert_eq!(room.cursors.paused_at(&Room::key()), Some(at(1, 6)));
        assert!(!room.resume(at(1, 8)));
        assert_eq!(*room.delivered.borrow(), [5, 6, 0, 9]);
        assert_eq!(room.arrives(1, 10), Arrival::Deliver);
    }

    #[test]
    fn a_hole_behind_the_stretch_keeps_the_room_paused() {
        let room = Room::default();
        for n in [1, 3, 7] {
            room.arrives(1, n);
        }
        assert!(room.resume(at(1, 4)));
        assert_eq!(*room.delivered.borrow(), [1, 0]);
        assert_eq!(room.cursors.paused_at(&Room::key()), Some(at(1, 4)));
        assert_eq!(room.cursors.before_held(&Room::key()), Some(at(1, 6)));
        assert!(!room.resume(at(1, 7)));
        assert_eq!(room.arrives(1, 8), Arrival::Deliver);
    }

    #[test]
    fn publications_that_are_under_way_when_a_room_begins_are_delivered() {
        let room = Room::default();
        let number = room.cursors.follow(Room::key());
        room.cursors.begin(&Room::key(), number, at(1, 4));
        assert_eq!([3, 4, 5, 5].map(|n| room.arrives(1, n)), {
            use Arrival::{Deliver, None};
            [Deliver, Deliver, Deliver, None]
        });
    }

    #[test]
    fn a_hole_behind_the_beginning_of_a_room_is_found() {
        let room = Room::default();
        let number = room.cursors.follow(Room::key());
        assert!(!room.cursors.pause(&Room::key()), "where it stands is unknown");
        room.cursors.begin(&Room::key(), number, at(1, 4));
        assert_eq!(room.arrives(1, 6), Arrival::Hole);
        assert_eq!(room.cursors.paused_at(&Room::key()), Some(at(1, 4)));
        assert!(!room.cursors.pause(&Room::key()), "it is paused");
    }

    #[test]
    fn a_position_is_known_once_no_publication_up_to_it_is_under_way() {
        let room = Room::default();
        let known = || {
            let mut known = None;
            assert_eq!(room.cursors.with_position(&Room::key(), &mut |at| known = Some(at)), known.is_some());
            known
        };
        let settle = |number| {
            let mut settled = None;
            room.cursors.settle(&Room::key(), number, |at| settled = Some(at));
            settled
        };
        let number = room.cursors.follow(Room::key());
        assert_eq!((known(), settle(number)), (None, None));
        room.cursors.begin(&Room::key(), number, at(1, 4));
        assert_eq!((known(), settle(number - 1)), (None, None), "that is another beginning");
        assert_eq!((settle(number), settle(number), known()), (Some(at(1, 4)), None, Some(at(1, 4))));
        assert_eq!(room.arrives(1, 5), Arrival::Deliver);
        assert_eq!(known(), Some(at(1, 5)));
        room.arrives(1, 7);
        assert_eq!(known(), None, "the room is paused");
        let number = room.cursors.follow(Room::key());
        room.cursors.begin(&Room::key(), number, at(1, 7));
        assert_eq!(room.arrives(1, 8), Arrival::Deliver);
        assert_eq!(settle(number), None, "something has arrived");
    }

    #[test]
    fn a_late_answer_does_not_begin_a_room_that_ended_and_began_again() {
        let room = Room::default();
        let first = room.cursors.follow(Room::key());
        room.cursors.forget(&Room::key());
        let second = room.cursors.follow(Room::key());
        room.cursors.begin(&Room::key(), first, at(1, 4));
        assert_eq!(room.arrives(1, 9), Arrival::Deliver, "where the room begins is unknown");
        room.cursors.begin(&Room::key(), second, at(1, 4));
        assert_eq!(room.arrives(1, 10), Arrival::Deliver);
    }

    #[test]
    fn an_epoch_begins_with_its_first_message() {
        let room = Room::default();
        room.arrives(1, 4);
        assert_eq!(room.arrives(2, 1), Arrival::Deliver);
        assert_eq!(room.arrives(3, 2), Arrival::Hole, "the first message of the epoch is missing");
        assert!(!room.resume(at(3, 2)));
        assert_eq!(room.arrives(3, 3), Arrival::Deliver);
    }

    #[test]
    fn what_is_left_of_an_ended_epoch_is_not_delivered_behind_the_next() {
        let room = Room::default();
        for n in [1, 3] {
            room.arrives(1, n);
        }
        assert!(!room.resume(at(2, 1)));
        assert_eq!(*room.delivered.borrow(), [1, 0]);
        assert_eq!(room.arrives(2, 2), Arrival::Deliver);
    }

    #[test]
    fn a_paused_room_holds_a_bounded_number_and_reads_the_others() {
        let room = Room::default();
        room.arrives(1, 1);
        for n in 3..3 + HELD_MAX as u64 + 10 {
            room.arrives(1, n);
        }
        let before = room.cursors.before_held(&Room::key()).unwrap().offset;
        assert!(before >= 3 + HELD_MAX as u64 - 1, "{before}");
        room.cursors.forget(&Room::key());
        assert_eq!(room.cursors.rooms(), []);
    }
}
