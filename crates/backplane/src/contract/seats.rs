//! The contract tests of the seats in a [`Store`].

use std::sync::Arc;

use switchboard_event::{ProjectId, ShardName, SocketId};

use super::support::name;
use crate::{SeatRequest, Seated, Store};

/// Tests that concurrent seat requests on several nodes never exceed a shard's capacity, that all seats can be
/// given back, and the rules of placement. `stores` are the stores of connected nodes; `settle` waits until
/// their changes are visible.
pub async fn placement(stores: &[Arc<dyn Store>], settle: impl AsyncFn()) {
    concurrent_requests_never_exceed_the_capacity(stores, &settle).await;
    named_and_automatic_shards_are_filled_by_their_rules(stores, &settle).await;
}

/// A request without overflow, project bound and description.
pub(super) fn request(socket: SocketId, shard: Option<&str>, capacity: u32) -> SeatRequest {
    let shard = shard.map(name);
    let (previous, description) = (None, None);
    SeatRequest { socket, shard, capacity, overflow: false, project_max: None, previous, description }
}

async fn concurrent_requests_never_exceed_the_capacity(stores: &[Arc<dyn Store>], settle: &impl AsyncFn()) {
    const CAPACITY: u32 = 7;
    let project = name::<ProjectId>("seats");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24_usize {
        let (store, project) = (stores[task % stores.len()].clone(), project.clone());
        tasks.spawn(async move { take_and_leave_seats(&*store, &project, task, CAPACITY).await });
    }
    let mut kept_seats = Vec::new();
    while let Some(seats) = tasks.join_next().await {
        kept_seats.extend(seats.expect("no task panics"));
    }
    settle().await;
    kept_seats.sort();
    let expected = occupancy(&kept_seats);
    for store in stores {
        let shards = store.shards(&project).await.expect("the store replies");
        let mut shards: Vec<_> = shards.into_iter().map(|shard| (shard.name, shard.seated)).collect();
        shards.sort();
        assert_eq!(shards, expected, "every seat has its socket");
    }
    let over = expected.iter().find(|(_, seated)| *seated > CAPACITY as usize);
    assert_eq!(over, None, "no shard exceeds its capacity");
    for (position, (shard, socket)) in kept_seats.iter().enumerate() {
        stores[position % stores.len()].leave_seat(&project, shard, *socket);
    }
    settle().await;
    for store in stores {
        assert_eq!(store.shards(&project).await.expect("the store replies"), [], "all seats are free again");
    }
}

/// Takes seats, gives most of them back, and returns the others.
async fn take_and_leave_seats(
    store: &dyn Store,
    project: &ProjectId,
    task: usize,
    capacity: u32,
) -> Vec<(ShardName, SocketId)> {
    let mut seats = Vec::new();
    for round in 0..50 {
        let socket = SocketId::random();
        let request = request(socket, None, capacity);
        match store.take_seat(project, request).await.expect("the store replies") {
            Seated::In(shard) => seats.push((shard, socket)),
            Seated::Full => panic!("the project has no bound"),
        }
        let seated = store.shards(project).await.expect("the store replies");
        let over = seated.iter().find(|shard| shard.seated > capacity as usize);
        assert_eq!(over, None, "no shard exceeds its capacity at any time");
        if !(round + task).is_multiple_of(3) {
            let (shard, socket) = seats.swap_remove(round % seats.len());
            store.leave_seat(project, &shard, socket);
        }
        tokio::task::yield_now().await;
    }
    seats
}

/// How many seats each shard has. The seats are sorted by shard.
fn occupancy(seats: &[(ShardName, SocketId)]) -> Vec<(ShardName, usize)> {
    let shards = seats.chunk_by(|(one, _), (other, _)| one == other);
    shards.map(|seats| (seats[0].0.clone(), seats.len())).collect()
}

async fn named_and_automatic_shards_are_filled_by_their_rules(
    stores: &[Arc<dyn Store>],
    settle: &impl AsyncFn(),
) {
    let project = name("named");
    let mut seats = Vec::new();
    let mut take = async |node: usize, shard: Option<&str>, project_max: Option<usize>| {
        let socket = SocketId::random();
        let request = SeatRequest { project_max, ..request(socket, shard, 2) };
        match stores[node % stores.len()].take_seat(&project, request).await.expect("the store replies") {
            Seated::In(shard) => {
                seats.push((shard.clone(), socket));
                shard.to_string()
            }
            Seated::Full => "full".into(),
        }
    };
    for node in 0..3 {
        assert_eq!(take(node, Some("shard-1"), None).await, "shard-1", "a named shard is unbounded");
    }
    assert_eq!(take(0, None, None).await, "shard-2", "automatic placement does not use a named shard");
    assert_eq!(take(1, None, None).await, "shard-2");
    assert_eq!(take(1, None, None).await, "shard-3");
    assert_eq!(take(0, None, Some(6)).await, "full");
    for (shard, socket) in &seats {
        stores[0].leave_seat(&project, shard, *socket);
    }
    settle().await;
    assert_eq!(stores[0].shards(&project).await.expect("the store replies"), []);
}
