//! Two devices of one user on two nodes, and what waits for the user.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Identity, InboxLimits, Mesa, MesaSettings, Target, UserId};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, RedisServer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::support::options;

struct OneNode {
    server: TestServer,
    /// Connected as long as this is there.
    _redis: Redis,
}

async fn start(redis: &RedisServer, redelivery_interval: Duration) -> OneNode {
    let with_inbox = Options { inbox: Some(InboxLimits::default()), ..options(redis) };
    let node = Redis::connect(with_inbox).await.expect("Redis answers");
    let verifier =
        async |token: String| UserId::new(&token).map(|user| Identity { user, expires: None, profile: None });
    let settings = MesaSettings { redelivery_interval, ..MesaSettings::default() };
    let mesa = Mesa::new().with_settings(settings);
    let app = App::new().with_mesa(mesa).with_verifier(verifier).with_backplane(&node);
    OneNode { server: TestServer::start(app).await, _redis: node }
}

async fn keep(node: &OneNode, n: usize) {
    node.server.app.to(Target::user("7").unwrap()).dispatch("N", &n).await.unwrap();
}

fn login() -> Value {
    json!({ "op": 2, "d": { "token": "7" } })
}

async fn come(node: &OneNode) -> Peer {
    let mut peer = Peer::connect(&node.server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer.send(&login()).await;
    assert_eq!(peer.next().await["op"], 22);
    peer
}

fn missed(n: usize, number: usize) -> Value {
    json!({ "op": 0, "d": n, "t": "N", "s": number })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_another_node_leaves_the_inbox_to_the_first_as_long_as_that_answers() {
    let redis = RedisServer::start().await;
    // Longer in all than a mute one would have.
    let pause = Duration::from_millis(50);
    let (one, other) = (start(&redis, pause).await, start(&redis, pause).await);
    for n in 1..=60 {
        keep(&one, n).await;
    }
    let mut first = come(&one).await;
    assert_eq!(first.next().await, missed(1, 1));
    let mut second = come(&other).await;
    for n in 2..=60 {
        assert_eq!(first.next().await, missed(n, n));
    }
    first.silent().await.unwrap();
    keep(&one, 61).await;
    assert_eq!(second.next().await["d"], 61, "all others were the first one's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_another_node_takes_over_from_one_that_does_not_answer() {
    let redis = RedisServer::start().await;
    let (one, other) = (start(&redis, Duration::ZERO).await, start(&redis, Duration::ZERO).await);
    keep(&one, 1).await;
    let mut mute = RawPeer::connect(one.server.address).await;
    mute.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    mute.read_head().await;
    mute.send(&frame(0x81, login().to_string().as_bytes())).await;
    let mut heard = String::new();
    while !heard.ends_with("\"s\":1") {
        heard.push(soon("it is told", mute.stream.read_u8()).await.unwrap().into());
    }
    let mut next = come(&other).await;
    assert_eq!(next.next().await, missed(1, 1));
}
