//! The seats of one project's shards.
//!
//! A shard is a room with a capacity. A named shard is created when a socket requests it by name. Automatic
//! shards, `shard-1`, `shard-2`, …, are created when all others are full. A shard is removed with its last
//! seat.

use std::collections::{BTreeMap, HashMap};

use switchboard_event::ShardName;

use super::free_numbers::{FreeNumbers, number_of};
use crate::seats::{SeatRequest, Seated, Shard};

/// The shards of one project.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    shards: HashMap<ShardName, Occupancy>,
    /// Automatic shards with a free seat, by taken seats and then by age.
    open: BTreeMap<(u32, u64), ShardName>,
    /// How many automatic shards were created.
    created: u64,
    free: FreeNumbers,
    seated: usize,
}

#[derive(Debug)]
struct Occupancy {
    seated: u32,
    capacity: u32,
    /// The position of an automatic shard in the order of creation; `None` for a named one.
    age: Option<u64>,
}

impl Seats {
    /// Takes a seat unless the project is full.
    pub(crate) fn take(&mut self, request: &SeatRequest) -> Seated {
        if request.project_max.is_some_and(|max| self.seated >= max) {
            return Seated::Full;
        }
        let name = match &request.shard {
            Some(name) if !(request.overflow && self.is_full(name, request.capacity)) => name.clone(),
            _ => self.automatic_for(request.capacity),
        };
        self.occupy(&name, request.capacity);
        Seated::In(name)
    }

    /// Gives a seat back; the last one removes the shard.
    pub(crate) fn leave(&mut self, name: &ShardName) {
        let Some(Occupancy { seated, .. }) = self.shards.get(name) else { return };
        let seated = seated - 1;
        self.seated -= 1;
        self.set_seated(name, seated);
        if seated == 0 {
            self.remove(name);
        }
    }

    /// All shards, unordered.
    pub(crate) fn list(&self) -> Vec<Shard> {
        let shard = |(name, occupancy): (&ShardName, &Occupancy)| Shard {
            name: name.clone(),
            seated: occupancy.seated as usize,
        };
        self.shards.iter().map(shard).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    fn is_full(&self, name: &ShardName, capacity: u32) -> bool {
        self.shards.get(name).is_some_and(|occupancy| occupancy.seated >= occupancy.capacity.min(capacity))
    }

    /// The oldest automatic shard with fewer than `capacity` taken seats, or a new one.
    fn automatic_for(&mut self, capacity: u32) -> ShardName {
        if let Some(name) = self.oldest_open(capacity) {
            return name;
        }
        let name = automatic_name(self.free.lowest());
        self.created += 1;
        self.create(&name, capacity, Some(self.created));
        name
    }

    /// The oldest automatic shard with a free seat and fewer than `capacity` taken seats. Looks at one shard for
    /// each number of taken seats.
    fn oldest_open(&self, capacity: u32) -> Option<ShardName> {
        let mut oldest: Option<(u64, &ShardName)> = None;
        let mut from = 0;
        while let Some((&(seated, age), name)) = self.open.range((from, 0)..(capacity, 0)).next() {
            if oldest.is_none_or(|(oldest, _)| age < oldest) {
                oldest = Some((age, name));
            }
            from = seated + 1;
        }
        oldest.map(|(_, name)| name.clone())
    }

    fn occupy(&mut self, name: &ShardName, capacity: u32) {
        if !self.shards.contains_key(name) {
            self.create(name, capacity, None);
        }
        self.seated += 1;
        self.set_seated(name, self.shards[name].seated + 1);
    }

    /// Adds a shard without taken seats.
    fn create(&mut self, name: &ShardName, capacity: u32, age: Option<u64>) {
        if let Some(number) = number_of(name) {
            self.free.take(number);
        }
        self.shards.insert(name.clone(), Occupancy { seated: 0, capacity, age });
    }

    fn remove(&mut self, name: &ShardName) {
        if let Some(Occupancy { seated, age: Some(age), .. }) = self.shards.remove(name) {
            self.open.remove(&(seated, age));
        }
        if let Some(number) = number_of(name) {
            self.free.release(number);
        }
        if self.shards.is_empty() {
            *self = Seats::default();
        }
    }

    /// Records the number of taken seats, and whether an automatic shard has a free one.
    fn set_seated(&mut self, name: &ShardName, seated: u32) {
        let Some(occupancy) = self.shards.get_mut(name) else { return };
        if let Some(age) = occupancy.age {
            self.open.remove(&(occupancy.seated, age));
            if seated < occupancy.capacity {
                self.open.insert((seated, age), name.clone());
            }
        }
        occupancy.seated = seated;
    }
}

fn automatic_name(number: u64) -> ShardName {
    ShardName::new(&format!("shard-{number}")).expect("the name is short")
}

#[cfg(test)]
mod tests {
    use switchboard_event::SocketId;

    use super::*;

    fn request(shard: Option<&str>, capacity: u32) -> SeatRequest {
        let shard = shard.map(|name| ShardName::new(name).unwrap());
        let socket = SocketId::random();
        let (previous, description) = (None, None);
        SeatRequest { socket, shard, capacity, overflow: false, project_max: None, previous, description }
    }

    fn take(seats: &mut Seats, shard: Option<&str>, capacity: u32) -> String {
        match seats.take(&request(shard, capacity)) {
            Seated::In(name) => name.to_string(),
            Seated::Full => "full".into(),
        }
    }

    fn leave(seats: &mut Seats, shard: &str) {
        seats.leave(&ShardName::new(shard).unwrap());
    }

    #[test]
    fn automatic_shards_fill_in_creation_order() {
        let mut seats = Seats::default();
        let placed: Vec<_> = (0..5).map(|_| take(&mut seats, None, 2)).collect();
        assert_eq!(placed, ["shard-1", "shard-1", "shard-2", "shard-2", "shard-3"]);
        leave(&mut seats, "shard-2");
        leave(&mut seats, "shard-1");
        let placed: Vec<_> = (0..3).map(|_| take(&mut seats, None, 2)).collect();
        assert_eq!(placed, ["shard-1", "shard-2", "shard-3"]);
    }

    #[test]
    fn an_empty_shard_is_removed_and_the_lowest_free_name_is_reused() {
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
    fn a_shard_fills_to_the_lower_capacity_of_its_creator_and_the_new_socket() {
        let mut seats = Seats::default();
        assert_eq!(take(&mut seats, None, 3), "shard-1");
        assert_eq!(take(&mut seats, None, 1), "shard-2", "a socket that accepts no other on its shard");
        assert_eq!(take(&mut seats, None, 100), "shard-1");
        assert_eq!(take(&mut seats, None, 100), "shard-1");
        assert_eq!(take(&mut seats, None, 100), "shard-3", "the first socket accepts three");
    }

    #[test]
    fn a_named_shard_is_unbounded_and_never_chosen_automatically() {
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
    fn a_request_by_name_for_an_automatic_shard_counts_in_it() {
        let mut seats = Seats::default();
        assert_eq!(take(&mut seats, None, 2), "shard-1");
        assert_eq!(take(&mut seats, Some("shard-1"), 2), "shard-1");
        assert_eq!(take(&mut seats, Some("shard-1"), 2), "shard-1", "even though it is full");
        assert_eq!(take(&mut seats, None, 2), "shard-2");
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 2), "shard-2", "two of two seats are taken");
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 2), "shard-1");
    }

    #[test]
    fn a_full_named_shard_overflows_to_an_automatic_one_if_requested() {
        let mut seats = Seats::default();
        let mut place = || seats.take(&SeatRequest { overflow: true, ..request(Some("lobby"), 2) });
        let placed: Vec<_> = (0..3).map(|_| place()).collect();
        let names = ["lobby", "lobby", "shard-1"].map(|name| Seated::In(ShardName::new(name).unwrap()));
        assert_eq!(placed, names);
    }

    #[test]
    fn a_full_project_refuses_seats() {
        let mut seats = Seats::default();
        let mut place = || seats.take(&SeatRequest { project_max: Some(2), ..request(None, 1) });
        assert!(matches!((place(), place(), place()), (Seated::In(_), Seated::In(_), Seated::Full)));
        leave(&mut seats, "shard-1");
        assert_eq!(take(&mut seats, None, 1), "shard-1");
    }
}
