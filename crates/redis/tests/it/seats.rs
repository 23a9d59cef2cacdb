//! The cost of seats and descriptions in Redis, and seats after a loss of its data.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_backplane::{Backplane, SeatRequest, Seated, Store};
use switchboard_event::{ProjectId, ShardName, SocketId};
use switchboard_testkit::{RedisServer, name};

use crate::support::{RedisNode, connect, until};

/// How many commands Redis has executed, including those of scripts.
async fn commands(server: &RedisServer) -> u64 {
    let stats = server.ask_text("INFO commandstats").await;
    let calls =
        stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
    calls.sum()
}

/// How often Redis has executed one command.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.ask_text("INFO commandstats").await;
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
}

async fn take(store: &Arc<dyn Store>, shard: Option<String>, capacity: u32) -> (ShardName, SocketId) {
    let (socket, project) = (SocketId::random(), name::<ProjectId>("p"));
    let shard = shard.map(|shard| name(&shard));
    let request = SeatRequest {
        socket,
        shard,
        capacity,
        overflow: false,
        project_max: None,
        previous: None,
        description: None,
    };
    match store.take_seat(&project, request).await.expect("Redis answers") {
        Seated::In(shard) => (shard, socket),
        Seated::Full => panic!("the project has no bound"),
    }
}

/// The commands that one automatic placement costs, and the shard. The renewal of the lease adds a few.
async fn placement(server: &RedisServer, node: &RedisNode, capacity: u32) -> (u64, String) {
    let store: Arc<dyn Store> = node.redis.store();
    // The query returns after all earlier changes of the node are written.
    store.shards(&name("p")).await.expect("Redis answers");
    let before = commands(server).await;
    let (shard, socket) = take(&store, None, capacity).await;
    let cost = commands(server).await - before;
    store.leave_seat(&name("p"), &shard, socket);
    (cost, shard.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_automatic_shards_taken_by_clients_do_not_make_placements_dearer() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let store: Arc<dyn Store> = node.redis.store();
    // In an order in which no number borders on the lower taken ones until the last.
    join_all((1..=5000).rev().map(|number| take(&store, Some(format!("shard-{number}")), 1))).await;
    for _ in 0..3 {
        let (cost, shard) = placement(&server, &node, 1).await;
        assert_eq!(shard, "shard-5001");
        assert!(cost < 100, "{cost} commands");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_with_too_few_free_seats_do_not_make_placements_dearer() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let store: Arc<dyn Store> = node.redis.store();
    let mut seats = join_all((0..2000).map(|_| take(&store, None, 2))).await;
    seats.sort();
    // One client leaves each shard of two; a client that accepts no other fits into none of them.
    for seat in seats.chunk_by(|(one, _), (other, _)| one == other) {
        store.leave_seat(&name("p"), &seat[0].0, seat[0].1);
    }
    for _ in 0..3 {
        let (cost, shard) = placement(&server, &node, 1).await;
        assert_eq!(shard, "shard-1001");
        assert!(cost < 100, "{cost} commands");
    }
    assert_eq!(take(&store, None, 2).await.0.as_str(), "shard-1", "the oldest shard with a seat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_ranges_of_free_numbers_are_restored_by_placements() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let store: Arc<dyn Store> = node.redis.store();
    for _ in 0..3 {
        take(&store, None, 1).await;
    }
    server.ask("DEL switchboard:{p}:seats:free").await;
    assert_eq!(take(&store, None, 1).await.0.as_str(), "shard-4");
    assert_eq!(take(&store, None, 1).await.0.as_str(), "shard-5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_that_change_while_redis_is_slow_are_written_once_with_their_last_content() {
    const CHANGES: usize = 500;
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (store, project) = (one.redis.store(), name::<ProjectId>("p"));
    let mut seats = Vec::new();
    for _ in 0..10 {
        let socket = SocketId::on(one.redis.bus().node());
        let request = SeatRequest {
            previous: None,
            socket,
            shard: Some(name("s")),
            capacity: 1,
            overflow: false,
            project_max: None,
            description: None,
        };
        store.take_seat(&project, request).await.expect("Redis answers");
        seats.push(socket);
    }
    store.settled().await;
    let before = calls(&server, "publish").await;
    server.pause();
    for change in 0..=CHANGES {
        for socket in &seats {
            let description = format!("{change}{}", "x".repeat(16_000));
            store.describe(&project, &name("s"), *socket, description.into());
        }
    }
    server.resume();
    let last = format!("{CHANGES}x");
    until("the last descriptions are written", async || {
        let descriptions = two.redis.store().descriptions(&project, &name("s")).await.unwrap_or_default();
        let is_last = |(_, description): &(SocketId, Bytes)| description.starts_with(last.as_bytes());
        descriptions.len() == seats.len() && descriptions.iter().all(is_last)
    })
    .await;
    // Some were taken for the pipeline before the pause, or are written again after a reconnect.
    let written = calls(&server, "publish").await - before;
    assert!(
        written <= 4 * seats.len() as u64,
        "{written} descriptions are written for {CHANGES} changes each"
    );
}
