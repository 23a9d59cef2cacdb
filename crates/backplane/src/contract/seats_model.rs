//! Compares the seats of a store with a simple model under random operations.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use switchboard_event::{ProjectId, ShardName, SocketId};

use super::support::name;
use crate::{SeatRequest, Seated, Store};

const STEPS: usize = 400;

/// Names that clients request. Some are those of automatic shards, some only resemble them.
const NAMES: [&str; 10] = [
    "shard-1", "shard-2", "shard-3", "shard-4", "shard-6", "shard-9", "shard-01", "shard-0", "shard-",
    "lobby",
];

/// A shard, by the rules of placement.
struct ModelShard {
    name: String,
    taken: u32,
    capacity: u32,
    is_automatic: bool,
}

/// The shards in the order of their creation.
#[derive(Default)]
struct Model(Vec<ModelShard>);

impl Model {
    /// Takes a seat. Returns the name of the shard; `None` if the project is full.
    fn take(&mut self, request: &SeatRequest) -> Option<String> {
        let SeatRequest { shard, capacity, overflow, project_max, .. } = request;
        let total: u32 = self.0.iter().map(|shard| shard.taken).sum();
        if project_max.is_some_and(|max| total as usize >= max) {
            return None;
        }
        let is_full = |name: &str| {
            let shard = self.0.iter().find(|shard| shard.name == name);
            shard.is_some_and(|shard| shard.taken >= shard.capacity.min(*capacity))
        };
        let (name, is_automatic) = match shard {
            Some(name) if !(*overflow && is_full(name)) => (name.to_string(), false),
            _ => (self.automatic(*capacity), true),
        };
        match self.0.iter_mut().find(|shard| shard.name == name) {
            Some(shard) => shard.taken += 1,
            None => {
                self.0.push(ModelShard { name: name.clone(), taken: 1, capacity: *capacity, is_automatic })
            }
        }
        Some(name)
    }

    /// The oldest automatic shard with a free seat for the client, or else the lowest free name.
    fn automatic(&self, capacity: u32) -> String {
        let has_seat = |shard: &&ModelShard| shard.is_automatic && shard.taken < shard.capacity.min(capacity);
        let is_taken = |name: &String| self.0.iter().any(|shard| shard.name == *name);
        let names = (1..).map(|number| format!("shard-{number}"));
        self.0.iter().find(has_seat).map_or_else(
            || names.into_iter().find(|name| !is_taken(name)).expect("there are fewer shards than numbers"),
            |shard| shard.name.clone(),
        )
    }

    fn leave(&mut self, name: &str) {
        let shard = self.0.iter_mut().find(|shard| shard.name == name);
        shard.expect("the seat was taken").taken -= 1;
        self.0.retain(|shard| shard.taken > 0);
    }

    /// Names and taken seats, sorted.
    fn list(&self) -> Vec<(String, usize)> {
        let mut list: Vec<_> =
            self.0.iter().map(|shard| (shard.name.clone(), shard.taken as usize)).collect();
        list.sort();
        list
    }
}

/// Takes and leaves random seats in the stores of connected nodes and in the model, and compares them after each
/// step. The seed determines all operations. `settle` waits until the changes of all nodes are visible.
pub async fn random_placement(stores: &[Arc<dyn Store>], seed: u64, settle: impl AsyncFn(&ProjectId)) {
    let project: ProjectId = name(&format!("random-{seed}"));
    let (mut random, mut model) = (StdRng::seed_from_u64(seed), Model::default());
    let mut seats: Vec<(ShardName, SocketId)> = Vec::new();
    let mut history = vec![format!("seed {seed}")];
    for _ in 0..STEPS {
        let store = stores.choose(&mut random).expect("there are stores");
        if !seats.is_empty() && random.random_ratio(2, 5) {
            let (shard, socket) = seats.swap_remove(random.random_range(0..seats.len()));
            history.push(format!("leave {shard}"));
            store.leave_seat(&project, &shard, socket);
            model.leave(&shard);
        } else {
            let request = random_request(&mut random);
            let SeatRequest { socket, shard, capacity, overflow, project_max, .. } = &request;
            history.push(format!("take {shard:?} of {capacity}, overflow {overflow}, of {project_max:?}"));
            let (socket, expected) = (*socket, model.take(&request));
            let seated = match store.take_seat(&project, request).await.expect("the store replies") {
                Seated::In(shard) => {
                    seats.push((shard.clone(), socket));
                    Some(shard.to_string())
                }
                Seated::Full => None,
            };
            assert_eq!(seated, expected, "{history:#?}");
        }
        settle(&project).await;
        let shards = stores[0].shards(&project).await.expect("the store replies");
        let mut shards: Vec<_> =
            shards.into_iter().map(|shard| (shard.name.to_string(), shard.seated)).collect();
        shards.sort();
        assert_eq!(shards, model.list(), "{history:#?}");
    }
}

fn random_request(random: &mut StdRng) -> SeatRequest {
    let shard = random.random_bool(0.5).then(|| name(NAMES.choose(random).expect("there are names")));
    SeatRequest {
        previous: None,
        socket: SocketId::random(),
        shard,
        capacity: random.random_range(1..=4),
        overflow: random.random_bool(0.3),
        project_max: random.random_bool(0.2).then_some(20),
        description: None,
    }
}
