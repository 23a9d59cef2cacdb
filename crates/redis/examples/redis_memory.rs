//! Measures the memory of a dedicated Redis per socket of a node and per seat on a shard.
//!
//! `cargo run --release --example redis_memory -p switchboard-redis -- 127.0.0.1:6379 [SOCKETS]`

use std::error::Error;

use bytes::Bytes;
use switchboard_backplane::{Backplane, SeatRequest, Seated, Store};
use switchboard_event::{ProjectId, SocketId, Target};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::Node;

type Done<T = ()> = Result<T, Box<dyn Error>>;

/// A description of typical length, of a client with a short user info.
const DESCRIPTION: &[u8] = br#"{"id":"0123456789abcdef","userInfo":{"name":"Ann"},"lastPing":1700000000000}"#;

#[tokio::main]
async fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let url = format!("redis://{}", arguments.next().ok_or("usage: redis_memory REDIS [SOCKETS]")?);
    let count = arguments.next().map_or(Ok(50_000), |count| count.parse())?;
    for (case, size) in [("no room", 0), ("one room of 10", 10), ("one room of 1,000", 1000)] {
        print(case, sockets(&url, count, size).await?);
    }
    print("a seat on a shard of 100, described", seats(&url, count).await?);
    Ok(())
}

fn print(case: &str, bytes: f64) {
    println!("{case}: {bytes:.0} bytes each");
}

/// Bytes per socket that is in one room of `size`, or in none.
async fn sockets(url: &str, count: usize, size: usize) -> Done<f64> {
    let (redis, before) = (Redis::connect(Options::new(url)).await?, used(url).await?);
    let (store, project) = (redis.store(), ProjectId::new("memory")?);
    let shared = store.clone();
    let node = Node::new(redis.bus(), |_| shared);
    let mut members = Vec::with_capacity(count);
    for number in 0..count {
        let member = node.add("memory");
        if let Some(room) = number.checked_div(size) {
            node.join(&member, &Target::room(&format!("room-{room}"))?);
        }
        members.push(member);
        settle_sometimes(&*store, &project, number).await?;
    }
    let bytes = used(url).await?.saturating_sub(before);
    redis.leave().await;
    Ok(bytes as f64 / count as f64)
}

/// Bytes per seat on automatic shards.
async fn seats(url: &str, count: usize) -> Done<f64> {
    let (redis, before) = (Redis::connect(Options::new(url)).await?, used(url).await?);
    let (store, project) = (redis.store(), ProjectId::new("memory")?);
    for number in 0..count {
        let socket = SocketId::on(redis.bus().node());
        let (shard, description) = (None, None);
        let request = SeatRequest {
            socket,
            shard,
            capacity: 100,
            overflow: false,
            project_max: None,
            previous: None,
            description,
        };
        let Seated::In(shard) = store.take_seat(&project, request).await? else {
            return Err("the project has no bound".into());
        };
        store.describe(&project, &shard, socket, Bytes::from_static(DESCRIPTION));
        settle_sometimes(&*store, &project, number).await?;
    }
    let bytes = used(url).await?.saturating_sub(before);
    redis.leave().await;
    Ok(bytes as f64 / count as f64)
}

/// Waits for all writes after each 1,000 sockets: the query returns after all earlier changes.
async fn settle_sometimes(store: &dyn Store, project: &ProjectId, number: usize) -> Done {
    if number % 1000 == 999 {
        store.count(project, &Target::Everyone).await?;
    }
    Ok(())
}

/// Memory of Redis without its connection buffers.
async fn used(url: &str) -> Done<u64> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse::<u64>().ok()).ok_or("INFO has no such field")
    };
    Ok(field("used_memory")? - field("mem_clients_normal")?)
}
