//! Redelivery to two devices of one user on two nodes.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::backplane::InboxLimits;
use switchboard::protocols::MesaSettings;
use switchboard::{App, Identity, Mesa, Target, UserId};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, RedisServer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::support::options;

struct TestNode {
    server: TestServer,
    /// Dropping it disconnects the node.
    _redis: Redis,
}

async fn start(redis: &RedisServer, redelivery_interval: Duration) -> TestNode {
    let with_inbox = Options { inbox: Some(InboxLimits::default()), ..options(redis) };
    let node = Redis::connect(with_inbox).await.expect("Redis answers");
    let verifier = async |token: String| UserId::new(&token).map(Identity::new);
    let settings = MesaSettings { redelivery_interval, ..MesaSettings::default() };
    let mesa = Mesa::new().with_settings(settings);
    let app = App::new().with_mesa(mesa).with_verifier(verifier).with_backplane(&node);
    TestNode { server: TestServer::start(app).await, _redis: node }
}

async fn dispatch(node: &TestNode, n: usize) {
    node.server.app.to(Target::user("7").unwrap()).dispatch("N", &n).await.unwrap();
}

fn login() -> Value {
    json!({ "op": 2, "d": { "token": "7" } })
}

async fn log_in(node: &TestNode) -> Peer {
    let mut peer = Peer::connect(&node.server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer.send(&login()).await;
    assert_eq!(peer.next().await["op"], 22);
    peer
}

fn redelivered(n: usize, sequence: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N", "s": sequence })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_another_node_waits_while_the_first_acknowledges() {
    let redis = RedisServer::start().await;
    // In total longer than the 2 s after which an unresponsive device loses the inbox.
    let interval = Duration::from_millis(50);
    let (one, other) = (start(&redis, interval).await, start(&redis, interval).await);
    for n in 1..=60 {
        dispatch(&one, n).await;
    }
    let mut first = log_in(&one).await;
    assert_eq!(first.next().await, redelivered(1, 1));
    let mut second = log_in(&other).await;
    for n in 2..=60 {
        assert_eq!(first.next().await, redelivered(n, n));
    }
    first.silent().await.unwrap();
    dispatch(&one, 61).await;
    assert_eq!(second.next().await["d"], 61, "the first device has received all others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_another_node_takes_over_when_the_first_does_not_acknowledge() {
    let redis = RedisServer::start().await;
    let (one, other) = (start(&redis, Duration::ZERO).await, start(&redis, Duration::ZERO).await);
    dispatch(&one, 1).await;
    let mut unresponsive = RawPeer::connect(one.server.address).await;
    unresponsive.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    unresponsive.read_head().await;
    unresponsive.send(&frame(0x81, login().to_string().as_bytes())).await;
    let mut text = String::new();
    while !text.ends_with("\"s\":1") {
        text.push(soon("a byte", unresponsive.stream.read_u8()).await.unwrap().into());
    }
    let mut next = log_in(&other).await;
    assert_eq!(next.next().await, redelivered(1, 1));
}
