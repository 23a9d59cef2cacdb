//! What a socket costs in Redis. Prints its figures for docs/guides/scaling.md.

use std::time::Duration;

use switchboard_event::{Name, Target};
use switchboard_hub::Backplane;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::RedisServer;

use crate::support::{node, options, until};

const SOCKETS: usize = 100_000;

async fn used(server: &RedisServer) -> usize {
    let info = server.ask_text("INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.parse().ok()).expect("a number of bytes")
}

/// Bytes per socket, each in what `targets` says of its number.
async fn bytes_per_socket(what: &str, targets: impl Fn(usize) -> Vec<Target>) {
    let server = RedisServer::start().await;
    let calm = Options { lease: Duration::from_secs(60), changes_max: usize::MAX, ..options(&server) };
    let node = node(Redis::connect(calm).await.unwrap());
    let project = Name::new("p").unwrap();
    let before = used(&server).await;
    let members: Vec<_> = (0..SOCKETS)
        .map(|n| {
            let member = node.node.add("p");
            targets(n).iter().for_each(|target| node.node.join(&member, target));
            member
        })
        .collect();
    until("all is written", async || {
        node.redis.store().count(&project, &Target::Everyone).await.is_ok_and(|count| count == members.len())
    })
    .await;
    let per_socket = (used(&server).await - before) as f64 / SOCKETS as f64;
    println!("{what}: {per_socket:.0} bytes of Redis a socket");
    assert!(per_socket < 1000.0);
}

fn room(n: usize) -> Target {
    Target::room(&format!("room-{n}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: 100,000 sockets, five times"]
async fn what_a_socket_costs_in_redis() {
    bytes_per_socket("no room", |_| vec![]).await;
    bytes_per_socket("one room of 10", |n| vec![room(n / 10)]).await;
    bytes_per_socket("one room of 1,000", |n| vec![room(n / 1000)]).await;
    bytes_per_socket("one room for all", |_| vec![room(0)]).await;
    let user = |n: usize| Target::user(&format!("user-{n}")).unwrap();
    bytes_per_socket("one room of 10, and a user each", |n| vec![room(n / 10), user(n)]).await;
}
