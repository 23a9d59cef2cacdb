//! Shards of one project: who gets a seat where.
//!
//! A shard is a room with a number of seats. Named shards are those that somebody asked for by
//! name; automatic ones, `shard-1`, `shard-2`, …, are made as they are needed. A shard exists while
//! somebody sits in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchboard_event::ShardName;

use crate::seats::{SeatRequest, Seated, Shard};

/// The shards of one project.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    shards: HashMap<ShardName, State>,
    /// Automatic shards with a free seat, in the order they were made.
    open: BTreeMap<u64, ShardName>,
    made: u64,
    /// The highest number that was given, and those up to it that no automatic shard has.
    last: u64,
    free: BTreeSet<u64>,
    seated: usize,
}

#[derive(Debug)]
struct State {
    seated: u32,
    capacity: u32,
    automatic: Option<Automatic>,
}

#[derive(Debug, Clone, Copy)]
struct Automatic {
    number: u64,
    /// When it was made, compared with others.
    age: u64,
}

impl Seats {
    /// Gives a seat, if there is one.
    pub(crate) fn take(&mut self, wish: &SeatRequest) -> Seated {
        if wish.project_max.is_some_and(|max| self.seated >= max) {
            return Seated::Full;
        }
        let name = match &wish.shard {
            Some(name) if !(wish.overflow && self.is_full(name, wish.capacity)) => name.clone(),
            _ => self.automatic_for(wish.capacity),
        };
        self.sit_down(&name, wish.capacity);
        Seated::In(name)
    }

    /// Takes a seat back. The last one takes the shard along.
    pub(crate) fn leave(&mut self, name: &ShardName) {
        let Some(state) = self.shards.get_mut(name) else { return };
        state.seated -= 1;
        self.seated -= 1;
        if state.seated > 0 {
            return self.note_room(name);
        }
        let Some(State { automatic: Some(automatic), .. }) = self.shards.remove(name) else { return };
        self.open.remove(&automatic.age);
        self.free.insert(automatic.number);
        if self.shards.is_empty() {
            *self = Seats::default();
        }
    }

    /// The shards there are, in no order.
    pub(crate) fn list(&self) -> Vec<Shard> {
        let shard =
            |(name, state): (&ShardName, &State)| Shard { name: name.clone(), seated: state.seated as usize };
        self.shards.iter().map(shard).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    fn is_full(&self, name: &ShardName, capacity: u32) -> bool {
        self.shards.get(name).is_some_and(|state| state.seated >= state.capacity.min(capacity))
    }

    /// The first automatic shard with a free seat for somebody who wants no more than `capacity`
    /// in it, or a new one.
    fn automatic_for(&mut self, capacity: u32) -> ShardName {
        let fits = |name: &&ShardName| self.shards[*name].seated < capacity;
        if let Some(name) = self.open.values().find(fits) {
            return name.clone();
        }
        let number = self.free_number();
        let name = automatic_name(number);
        self.made += 1;
        let automatic = Some(Automatic { number, age: self.made });
        self.shards.insert(name.clone(), State { seated: 0, capacity, automatic });
        name
    }

    /// The lowest number whose name nobody has, not even by asking for a shard of just that name.
    fn free_number(&mut self) -> u64 {
        let taken = |number: &u64| self.shards.contains_key(&automatic_name(*number));
        if let Some(number) = self.free.iter().copied().find(|number| !taken(number)) {
            self.free.remove(&number);
            return number;
        }
        loop {
            self.last += 1;
            if !self.shards.contains_key(&automatic_name(self.last)) {
                return self.last;
            }
            self.free.insert(self.last);
        }
    }

    fn sit_down(&mut self, name: &ShardName, capacity: u32) {
        let new = || State { seated: 0, capacity, automatic: None };
        self.shards.entry(name.clone()).or_insert_with(new).seated += 1;
        self.seated += 1;
        self.note_room(name);
    }

    /// Notes whether an automatic shard has a free seat.
    fn note_room(&mut self, name: &ShardName) {
        let State { seated, capacity, automatic: Some(Automatic { age, .. }) } = self.shards[name] else {
            return;
        };
        if seated < capacity {
            self.open.insert(age, name.clone());
        } else {
            self.open.remove(&age);
        }
    }
}

fn automatic_name(number: u64) -> ShardName {
    ShardName::new(&format!("shard-{number}")).expect("the name is short")
}

#[cfg(test)]
mod tests {
    use switchboard_event::SocketId;

    use super::*;

    fn wish(shard: Option<&str>, capacity: u32) -> SeatRequest {
        let shard = shard.map(|name| ShardName::new(name).unwrap());
        let socket = SocketId::random();
        SeatRequest { socket, shard, capacity, overflow: false, project_max: None, description: None }
    }

    fn take(seats: &mut Seats, shard: Option<&str>, capacity: u32) -> String {
        match seats.take(&wish(shard, capacity)) {
            Seated::In(name) => name.to_string(),
            Seated::Full => "full".into(),
        }
    }

    fn leave(seats: &mut Seats, shard: &str) {
        seats.leave(&ShardName::new(shard).unwrap());
    }

    #[test]
    fn automatic_shards_fill_in_the_order_they_were_made() {
        let mut seats = Seats::default();
        let placed: Vec<_> = (0..5).map(|_| take(&mut seats, None, 2)).collect();
        assert_eq!(placed, ["shard-1", "shard-1", "shard-2", "shard-2", "shard-3"]);
        leave(&mut seats, "shard-2");
        leave(&mut seats, "shard-1");
        let placed: Vec<_> = (0..3).map(|_| take(&mut seats, None, 2)).collect();
        assert_eq!(placed, ["shard-1", "shard-2", "shard-3"]);
    }

    #[test]
    fn an_empty_shard_vanishes_and_the_lowest_free_name_returns() {
        let mut seats = Seats::default();
        (0..4).for_each(|_| drop(take(&mut seats, None, 1)));
        leave(&mut seats, "shard-3");
        leave(&mut seats, "shard-2");
        assert_eq!(seats.list().len(), 2);
        assert_eq!(take(&mut seats, None, 1), "shard-2");
        assert_eq!(take(&mut seats, None, 1), "shard-3");
        assert_eq!(take(&mut seats, None, 1), "shard-5");
        for name in ["shard-1", "shard-2", "shard-3", "shard-4", "shard-5"] {
            leave(&mut seats, name);
        }
        assert!(seats.is_empty());
    }

    #[test]
    fn a_shard_holds_what_its_maker_and_the_joiner_both_allow() {
        let mut seats = Seats::default();
        assert_eq!(take(&mut seats, None, 3), "shard-1");
        assert_eq!(take(&mut seats, None, 1), "shard-2", "one who wants to be alone");
        assert_eq!(take(&mut seats, None, 100), "shard-1");
        assert_eq!(take(&mut seats, None, 100), "shard-1");
        assert_eq!(take(&mut seats, None, 100), "shard-3", "its maker allowed three");
    }

    #[test]
    fn a_named_shard_takes_everyone_in_and_automatic_placement_never_uses_it() {
        let mut seats = Seats::default();
        for _ in 0..3 {
            assert_eq!(take(&mut seats, Some("shard-1"), 1), "shard-1");
        }
        assert_eq!(take(&mut seats, None, 9), "shard-2", "the name was taken");
        for _ in 0..3 {
            leave(&mut seats, "shard-1");
        }
        assert_eq!(take(&mut seats, None, 1), "shard-1");
    }

    #[test]
    fn who_asks_for_an_automatic_shard_by_name_counts_in_it() {
        let mut seats = Seats::default();
        assert_eq!(take(&mut seats, None, 2), "shard-1");
        assert_eq!(take(&mut seats, Some("shard-1"), 2), "shard-1");
        assert_eq!(take(&mut seats, Some("shard-1"), 2), "shard-1", "also when it is full");
        assert_eq!(take(&mut seats, None, 2), "shard-2");
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 2), "shard-2", "two of two are left");
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 2), "shard-1");
    }

    #[test]
    fn a_full_named_shard_can_overflow() {
        let mut seats = Seats::default();
        let mut place = || seats.take(&SeatRequest { overflow: true, ..wish(Some("lobby"), 2) });
        let placed: Vec<_> = (0..3).map(|_| place()).collect();
        let names = ["lobby", "lobby", "shard-1"].map(|name| Seated::In(ShardName::new(name).unwrap()));
        assert_eq!(placed, names);
    }

    #[test]
    fn a_full_project_takes_nobody_in() {
        let mut seats = Seats::default();
        let mut place = || seats.take(&SeatRequest { project_max: Some(2), ..wish(None, 1) });
        assert!(matches!((place(), place(), place()), (Seated::In(_), Seated::In(_), Seated::Full)));
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 1), "shard-1");
    }
}
