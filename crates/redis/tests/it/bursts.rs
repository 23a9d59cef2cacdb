//! Bursts from other nodes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, HistoryLimits, Limits, Reply, Socket};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, RawPeer, RedisServer, TestServer, soon, until};
use tokio::io::AsyncReadExt;

use crate::support::options;

async fn start(redis: &Redis) -> TestServer {
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 32 * 1024;
    TestServer::start(App::new().with_limits(limits).with_backplane(redis)).await
}

#[tokio::test]
async fn a_burst_from_another_node_reaches_a_receiver_that_accepts_it() {
    let server = RedisServer::start().await;
    let redis = [
        Redis::connect(options(&server)).await.expect("Redis answers"),
        Redis::connect(options(&server)).await.expect("Redis answers"),
    ];
    let (one, two) = (start(&redis[0]).await, start(&redis[1]).await);
    let mut receiver = RawPeer::open(two.address).await;
    let id = two.app.all_socket_ids().await.expect("Redis answers")[0];
    two.app.socket(id).expect("it is connected").join("#r").expect("it may join");
    two.app.settled().await;
    let (count, blob) = (64, "x".repeat(4 * 1024));
    for _ in 0..count {
        one.app.to("#r").emit("blob", &blob).expect("a valid event");
    }
    let expected = format!(r#"{{"event":"blob","data":"{blob}"}}"#);
    for n in 0..count {
        // A frame of the server has a header of four bytes here.
        let mut received = vec![0; 4 + expected.len()];
        let read = soon("a message", receiver.stream.read_exact(&mut received)).await;
        assert!(read.is_ok() && received[4..] == *expected.as_bytes(), "message {n} of {count}");
    }
    assert_eq!(two.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}

const BLOB: usize = 16 * 1024;

/// Messages of a burst that is larger than the buffers of the kernel and the outbox together.
const BURST: usize = 24 * 1024 * 1024 / BLOB;

/// A served node with an outbox that a burst fills soon. Rooms like `#chat-1` have a history.
async fn node(server: &RedisServer, change: impl FnOnce(&mut Limits)) -> (TestServer, Redis) {
    let redis = Redis::connect(Options { history: true, ..options(server) }).await.expect("Redis answers");
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 256 * 1024;
    limits.bytes_per_s = None;
    change(&mut limits);
    let join = async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room).expect("the name is valid");
    };
    let send = async |socket: Socket, Data((room, data)): Data<(String, Value)>| {
        socket.to(&room).emit("message", &data).expect("the names are valid");
        Reply(true)
    };
    let history = HistoryLimits { messages_max: 10, ..HistoryLimits::default() };
    let app = App::new().on("/join", join).on("/send", send).with_room_history("chat-*", history);
    (TestServer::start(app.with_limits(limits).with_backplane(&redis)).await, redis)
}

/// A peer in the room that reads only when the test does.
async fn reader(node: &TestServer, room: &str) -> RawPeer {
    let mut peer = RawPeer::open(node.address).await;
    let join = json!({ "event": "/join", "data": room }).to_string();
    peer.send(&frame(0x81, join.as_bytes())).await;
    let is_member = async || {
        let sessions = node.app.hub().index().all_sessions();
        sessions
            .iter()
            .any(|session| node.app.socket(session.id).is_some_and(|socket| !socket.rooms().is_empty()))
    };
    until("the peer has joined", is_member).await;
    node.app.settled().await;
    peer
}

#[expect(clippy::disallowed_methods, reason = "a task of the test")]
fn burst(mut sender: Peer, room: &'static str) -> tokio::task::JoinHandle<Peer> {
    tokio::spawn(async move {
        let blob = "x".repeat(BLOB);
        for _ in 0..BURST {
            sender.emit("/send", json!([room, blob])).await;
        }
        sender
    })
}

async fn until_behind(node: &TestServer) {
    until("a receiver is behind", async || {
        let sessions = node.app.hub().index().all_sessions();
        sessions.iter().any(|session| session.outbox.backlog().bytes > 128 * 1024)
    })
    .await;
}

async fn read_burst(peer: &mut RawPeer) {
    let mut left = BURST * BLOB;
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let read = soon("bytes", peer.stream.read(&mut buffer)).await.expect("the connection is open");
        assert!(read > 0, "the connection ended {left} bytes before the end of the burst");
        left -= read.min(left);
    }
}

/// Sends a burst from one node to a receiver of the other one that begins to read late.
async fn burst_over_two_nodes(room: &'static str) {
    let server = RedisServer::start().await;
    let (one, _redis_one) = node(&server, |_| {}).await;
    let (two, _redis_two) = node(&server, |_| {}).await;
    let mut slow = reader(&two, room).await;
    let sending = burst(Peer::connect(&one.url("/")).await, room);
    until_behind(&two).await;
    assert!(!sending.is_finished(), "the sender waits");
    read_burst(&mut slow).await;
    sending.await.expect("the sender is not closed");
    assert_eq!(two.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
    assert_eq!(one.app.hub().stats().bus_full.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_redis_waits_for_a_slow_receiver_and_closes_nobody() {
    burst_over_two_nodes("#r").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_to_a_room_with_history_waits_for_a_slow_receiver_and_closes_nobody() {
    burst_over_two_nodes("#chat-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_does_not_hold_up_a_sender() {
    let server = RedisServer::start().await;
    let limits = |limits: &mut Limits| {
        limits.stall_max = Duration::from_millis(500);
        limits.stall_budget = Duration::from_secs(3600);
    };
    let (one, _redis_one) = node(&server, limits).await;
    let (two, redis_two) = node(&server, limits).await;
    let _stopped = reader(&two, "#r").await;
    let sending = burst(Peer::connect(&one.url("/")).await, "#r");
    until_behind(&two).await;
    drop((two, redis_two));
    // 24 MiB of marks, each waited for, would take minutes.
    let ended = tokio::time::timeout(Duration::from_secs(60), sending).await.expect("nobody is waited for");
    ended.expect("the sender is not closed").quiet().await;
}
