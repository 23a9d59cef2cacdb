//! A sender that is faster than its receivers is slowed; receivers that read are not closed.

mod between_nodes;

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{Data, Limits, Socket};
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, RawPeer, TestServer, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::app;
use crate::support::limits;

const BLOB: usize = 16 * 1024;

/// Messages of a burst that is larger than the buffers of the kernel and the outbox together.
const BURST: usize = 24 * 1024 * 1024 / BLOB;

/// An outbox that a burst fills soon, and no limit on bytes per second.
fn small_outbox(change: impl FnOnce(&mut Limits)) -> Limits {
    limits(|limits| {
        limits.outbox_bytes_max = 256 * 1024;
        limits.close_timeout = Duration::from_millis(100);
        limits.bytes_per_s = None;
        change(limits);
    })
}

/// A peer in the room `r` that reads only when the test does.
async fn reader(server: &TestServer) -> RawPeer {
    let mut peer = server.raw().await;
    let members = server.app.room_size("r").await.unwrap();
    peer.send(&frame(0x81, br#"{"event":"/join","data":"r"}"#)).await;
    until("the peer has joined", async || server.app.room_size("r").await.unwrap() > members).await;
    peer
}

/// Runs a task of the test.
#[expect(clippy::disallowed_methods, reason = "a task of the test")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Sends the burst into the room `r`, and returns the peer afterwards.
fn burst(mut sender: Peer) -> JoinHandle<Peer> {
    spawn(async move {
        let blob = "x".repeat(BLOB);
        for _ in 0..BURST {
            sender.emit("/send", json!(["#r", blob])).await;
        }
        sender
    })
}

/// Waits until a connection of the server waits for a receiver.
async fn until_stalled(server: &TestServer) {
    until("a receiver is behind", async || {
        let sessions = server.app.hub().index().all_sessions();
        sessions.iter().any(|session| session.outbox.backlog().bytes > 128 * 1024)
    })
    .await;
}

/// Reads all messages of the burst.
async fn read_burst(peer: &mut RawPeer) {
    let head = r#"{"event":"message","data":""}"#.len() + 4;
    let mut left = BURST * (head + BLOB);
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        // Not what follows: it may be the next burst.
        let space = left.min(buffer.len());
        let read = soon("bytes", peer.stream.read(&mut buffer[..space])).await.unwrap();
        assert!(read > 0, "the connection ended {left} bytes before the end of the burst");
        left -= read;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_for_a_slow_receiver_and_closes_nobody() {
    let server = TestServer::start(app().with_limits(small_outbox(|_| {}))).await;
    let (mut slow, mut fast) = (reader(&server).await, reader(&server).await);
    let sending = burst(server.peer().await);
    let fast = spawn(async move {
        read_burst(&mut fast).await;
        fast
    });
    until_stalled(&server).await;
    assert!(!sending.is_finished(), "the sender waits");
    read_burst(&mut slow).await;
    fast.await.unwrap();
    sending.await.unwrap();
    assert_eq!(server.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_clients_are_not_delayed_while_a_sender_waits() {
    let server = TestServer::start(app().with_limits(small_outbox(|_| {}))).await;
    let mut slow = reader(&server).await;
    let (mut other, mut friend) = (server.peer().await, server.peer().await);
    friend.request("/join", json!("s")).await;
    let sending = burst(server.peer().await);
    until_stalled(&server).await;
    for number in 0..100 {
        assert_eq!(other.request("/send", json!(["#s", number])).await, 1);
        assert_eq!(friend.next_event().await.1, number);
    }
    assert!(!sending.is_finished(), "the sender still waits");
    read_burst(&mut slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_stops_reading_is_closed_and_the_others_receive_everything() {
    let (ends, mut ended) = mpsc::channel(4);
    let app = app().with_limits(small_outbox(|limits| limits.stall_budget = Duration::from_secs(2))).on(
        "@disconnect",
        move |Data(end): Data<Value>| {
            let ends = ends.clone();
            async move { ends.try_send(end["code"].clone()).unwrap() }
        },
    );
    let server = TestServer::start(app).await;
    let (_stopped, mut good) = (reader(&server).await, reader(&server).await);
    let sending = burst(server.peer().await);
    read_burst(&mut good).await;
    assert_eq!(soon("the end of the connection", ended.recv()).await.unwrap(), 1013);
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_sender_still_receives_and_can_be_closed() {
    let server = TestServer::start(app().with_limits(small_outbox(|_| {}))).await;
    let _slow = reader(&server).await;
    let mut sender = server.raw().await;
    let id = server.app.hub().index().all_sessions().iter().map(|session| session.id).max_by_key(|id| {
        // The sender is the one in no room.
        server.app.socket(*id).is_some_and(|socket| socket.rooms().is_empty())
    });
    let id = id.unwrap();
    let message =
        frame(0x81, json!({ "event": "/send", "data": ["#r", "x".repeat(BLOB)] }).to_string().as_bytes());
    let (mut input, mut output) = sender.stream.split();
    let sending = async { while output.write_all(&message).await.is_ok() {} };
    let closing = async {
        until_stalled(&server).await;
        server.app.socket(id).unwrap().emit("news", &1).unwrap();
        let mut news = [0; 2 + r#"{"event":"news","data":1}"#.len()];
        soon("an event", input.read_exact(&mut news)).await.unwrap();
        server.app.socket(id).unwrap().close(4000, "enough");
        let mut close = [0; 4];
        soon("the close frame", input.read_exact(&mut close)).await.unwrap();
        assert_eq!(close[2..], 4000_u16.to_be_bytes());
    };
    tokio::select! {
        () = sending => panic!("the sender is closed before it was asked"),
        () = closing => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_stalls_a_burst_closes_a_slow_receiver() {
    let server =
        TestServer::start(app().with_limits(small_outbox(|limits| limits.stall_max = Duration::ZERO))).await;
    let mut slow = reader(&server).await;
    let sending = burst(server.peer().await);
    until("the receiver is closed", async || {
        server.app.hub().stats().overflowed.load(Ordering::Relaxed) == 1
    })
    .await;
    slow.read_to_end().await;
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volatile_burst_waits_for_nobody() {
    let app = app().on("/volatile", async |socket: Socket, Data(text): Data<Value>| {
        socket.to("#r").volatile().emit("message", &text).map(|_| ())
    });
    let server = TestServer::start(app.with_limits(small_outbox(|_| {}))).await;
    let _stopped = reader(&server).await;
    let mut sender = server.peer().await;
    let blob = "x".repeat(BLOB);
    for _ in 0..BURST {
        sender.emit("/volatile", json!(blob)).await;
    }
    sender.quiet().await;
    assert!(server.app.hub().stats().dropped.volatile.load(Ordering::Relaxed) > 0);
}
