//! Measurements of sockets in Redis. They print the figures of docs/guides/scaling.md.

use std::time::{Duration, Instant};

use switchboard_backplane::Backplane;
use switchboard_event::{ProjectId, Target};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::{Member, RedisServer};

use crate::support::{LEASE, RedisNode, connect, node, options, until};

const SOCKETS: usize = 100_000;

async fn used_memory(server: &RedisServer) -> usize {
    let info = server.ask_text("INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.parse().ok()).expect("a number of bytes")
}

/// A node with [`SOCKETS`] sockets, all written and subscribed. `targets` maps the number of a socket to its targets.
async fn populated_node(
    server: &RedisServer,
    lease: Duration,
    targets: impl Fn(usize) -> Vec<Target>,
) -> PopulatedNode {
    let options = Options { lease, changes_bytes_max: usize::MAX, ..options(server) };
    let node = node(Redis::connect(options).await.unwrap());
    let members: Vec<_> = (0..SOCKETS)
        .map(|n| {
            let member = node.node.add("p");
            targets(n).iter().for_each(|target| node.node.join(&member, target));
            member
        })
        .collect();
    until("all sockets are written", async || sockets(&node).await == Some(SOCKETS)).await;
    node.redis.bus().settled().await;
    PopulatedNode { node, _members: members }
}

struct PopulatedNode {
    node: RedisNode,
    _members: Vec<Member>,
}

async fn sockets(node: &RedisNode) -> Option<usize> {
    node.redis.store().count(&ProjectId::new("p").unwrap(), &Target::Everyone).await.ok()
}

async fn bytes_per_socket(case: &str, targets: impl Fn(usize) -> Vec<Target>) {
    let server = RedisServer::start().await;
    let before = used_memory(&server).await;
    let _node = populated_node(&server, Duration::from_secs(60), targets).await;
    let per_socket = (used_memory(&server).await - before) as f64 / SOCKETS as f64;
    println!("{case}: {per_socket:.0} bytes of Redis per socket");
    assert!(per_socket < 1500.0);
}

fn room(n: usize) -> Target {
    Target::room(&format!("room-{n}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: 100,000 sockets, five times"]
async fn memory_of_a_socket_in_redis() {
    bytes_per_socket("no room", |_| vec![]).await;
    bytes_per_socket("one room of 10", |n| vec![room(n / 10)]).await;
    bytes_per_socket("one room of 1,000", |n| vec![room(n / 1000)]).await;
    bytes_per_socket("one room for all", |_| vec![room(0)]).await;
    let user = |n: usize| Target::user(&format!("user-{n}")).unwrap();
    bytes_per_socket("one room of 10, and a user each", |n| vec![room(n / 10), user(n)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: 100,000 sockets"]
async fn time_until_the_sockets_of_a_dead_node_are_removed() {
    let server = RedisServer::start().await;
    let survivor = connect(&server).await;
    let PopulatedNode { node, .. } = populated_node(&server, LEASE, |n| vec![room(n / 10)]).await;
    #[expect(clippy::disallowed_methods, reason = "a measurement of time")]
    let start = Instant::now();
    drop(node);
    until("the sockets are removed", async || sockets(&survivor).await == Some(0)).await;
    println!("{SOCKETS} sockets were removed after {:?} with a lease of {LEASE:?}", start.elapsed());
}
