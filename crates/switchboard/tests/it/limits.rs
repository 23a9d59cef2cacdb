//! Every bound, and what happens at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{AcceptOptions, Data, Limits, Reply, Request, State};
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, RawPeer, TestServer, soon};
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, mpsc};

use crate::app;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn a_burst_of_5000_requests_passes() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    let all = (1..=5000)
        .map(|n| frame(0x81, json!({ "event": "/echo", "data": n, "ackId": n }).to_string().as_bytes()));
    let mut raw = server.raw().await;
    raw.send(&all.collect::<Vec<_>>().concat()).await;
    let mut replies = Vec::new();
    while !replies.ends_with(br#""ackId":5000,"data":5000}"#) {
        soon("a reply", raw.stream.read_buf(&mut replies)).await.unwrap();
    }
    peer.quiet().await;
}

#[tokio::test]
async fn who_sends_too_fast_is_closed_with_the_reason() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.messages_per_s = Some(10)))).await;
    let mut bystander = server.peer().await;
    let mut peer = server.raw().await;
    peer.send(&frame(0x81, b"{}").repeat(100)).await;
    assert_eq!(peer.close_code().await, 1008);
    bystander.quiet().await;
}

#[tokio::test]
async fn rates_can_be_switched_off() {
    let none = limits(|limits| limits.messages_per_s = Some(1)).without_rates();
    let server = TestServer::start(app().with_limits(none)).await;
    let mut peer = server.peer().await;
    for _ in 0..100 {
        peer.emit("/echo", json!(1)).await;
    }
    peer.quiet().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_until_one_goes() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.connections_per_address_max = Some(1))))
            .await;
    let first = server.peer().await;
    let refused = Peer::try_connect(&server.url("/"), &[]).await.err().unwrap();
    assert!(refused.contains("429"), "{refused}");
    first.close().await;
    soon("a place", async { while Peer::try_connect(&server.url("/"), &[]).await.is_err() {} }).await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let options = AcceptOptions {
        allowed_origins: Some(vec!["https://good.example".into()]),
        ..AcceptOptions::default()
    };
    let server = TestServer::start(app().with_accept_options(options)).await;
    let from = async |origin: &str| Peer::try_connect(&server.url("/"), &[("origin", origin)]).await;
    assert!(from("https://good.example").await.is_ok());
    for bad in ["https://evil.example", "https://good.example.evil.example", "http://good.example", "null"] {
        assert!(from(bad).await.err().unwrap().contains("403"), "{bad}");
    }
    server.peer().await.quiet().await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let short = limits(|limits| limits.handshake_timeout = Duration::from_millis(50));
    let server = TestServer::start(app().with_limits(short)).await;
    let mut silent = RawPeer::connect(server.address).await;
    let mut halting = RawPeer::connect(server.address).await;
    halting.send(b"GET / HTTP/1.1\r\nHost:").await;
    silent.read_to_end().await;
    halting.read_to_end().await;
}

#[tokio::test]
async fn rooms_of_one_socket_are_bounded() {
    let server = TestServer::start(app().with_limits(limits(|limits| limits.memberships_max = 3))).await;
    let mut peer = server.peer().await;
    for room in ["a", "b", "c", "a"] {
        assert!(peer.request("/join", json!(room)).await.is_boolean());
    }
    let error = "the socket is in 3 rooms and tags already, which is the most";
    assert_eq!(peer.request("/join", json!("d")).await, json!({ "error": error, "code": "too_many" }));
    let error = "name is 300 bytes; the most is 256";
    assert_eq!(
        peer.request("/join", json!("x".repeat(300))).await,
        json!({ "error": error, "code": "bad_data" })
    );
    assert_eq!(peer.request("/say", json!(["a", 1])).await["code"], "bad_data");
}

#[tokio::test]
async fn no_more_handlers_of_a_connection_wait_than_may_and_every_event_gets_its_turn() {
    let started = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let app = app()
        .with_limits(limits(|limits| limits.handlers_in_flight_max = 4))
        .with_state((started.clone(), gate.clone()))
        .on("/wait", async |State((started, gate)): State<(Arc<AtomicUsize>, Arc<Semaphore>)>| {
            started.fetch_add(1, Ordering::Relaxed);
            gate.acquire().await.unwrap().forget();
            Reply(true)
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    let mut bystander = server.peer().await;
    for n in 1..=10 {
        peer.send(&json!({ "event": "/wait", "ackId": n })).await;
    }
    // The replies of later ones show that the connection goes on as each gets its turn.
    for done in 1..=10 {
        bystander.quiet().await;
        assert!(started.load(Ordering::Relaxed) < done + 4);
        gate.add_permits(1);
        assert_eq!(peer.next().await["data"], true);
    }
    assert_eq!(started.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let small = limits(|limits| {
        limits.outbox_bytes_max = 64 * 1024;
        limits.close_timeout = Duration::from_millis(100);
    });
    let (ends, mut ended) = mpsc::channel(1);
    let app = app().with_limits(small).on("@disconnect", move |Data(end): Data<Value>| {
        let ends = ends.clone();
        async move { ends.try_send(end["code"].clone()).unwrap() }
    });
    let server = TestServer::start(app).await;
    let mut slow = server.raw().await;
    slow.send(&frame(0x81, br#"{"event":"/join","data":"r"}"#)).await;
    let (mut good, mut sender) = (server.peer().await, server.peer().await);
    good.request("/join", json!("r")).await;
    let blob = "x".repeat(16 * 1024);
    // The kernel's buffers fill first; then the outbox; then it is closed.
    let code = loop {
        if let Ok(code) = ended.try_recv() {
            break code;
        }
        assert!(sender.request("/say", json!(["#r", blob])).await.as_u64().unwrap() >= 1);
        assert_eq!(good.next_event().await.1, Value::from(blob.as_str()));
    };
    assert_eq!(code, 1013);
    assert_eq!(sender.request("/say", json!(["#r", 1])).await, 1);
    assert_eq!(good.next_event().await.1, 1);
    let stats = server.app.hub().stats();
    assert_eq!(stats.overflowed.load(Ordering::Relaxed), 1);
}

/// A peer in room `r` that reads only when it is told to.
async fn reader_in_room(server: &TestServer) -> RawPeer {
    let mut peer = server.raw().await;
    peer.send(&frame(0x81, br#"{"event":"/join","data":"r"}"#)).await;
    soon("it joins", async {
        while server.app.room_size("r").await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    peer
}

#[tokio::test]
async fn a_reader_that_reads_again_gets_all_that_was_queued_and_then_the_code() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.outbox_bytes_max = 64 * 1024))).await;
    let mut slow = reader_in_room(&server).await;
    let blob = "x".repeat(16 * 1024);
    let mut sent = 0;
    while server.app.to("#r").emit("blob", &blob).unwrap() == 1 {
        sent += 1;
        tokio::task::yield_now().await;
    }
    let bytes = slow.read_to_end().await;
    let frame_len = 4 + r#"{"event":"blob","data":""}"#.len() + blob.len();
    assert_eq!(bytes[..sent * frame_len].len() / frame_len, sent);
    assert_eq!(bytes[sent * frame_len..][2..4], 1013_u16.to_be_bytes());
}

#[tokio::test]
async fn volatile_events_are_dropped_for_a_slow_reader_who_stays() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.outbox_bytes_max = 64 * 1024))).await;
    let mut slow = reader_in_room(&server).await;
    let blob = "x".repeat(16 * 1024);
    while server.app.to("#r").volatile().emit("blob", &blob).unwrap() == 1 {
        tokio::task::yield_now().await;
    }
    assert!(server.app.hub().stats().dropped.load(Ordering::Relaxed) > 0);
    // It reads again: what comes from now on arrives.
    let mut bytes = Vec::new();
    while server.app.to("#r").volatile().emit("small", &1).unwrap() == 0 {
        soon("bytes", slow.stream.read_buf(&mut bytes)).await.unwrap();
    }
    while !bytes.ends_with(br#"{"event":"small","data":1}"#) {
        soon("bytes", slow.stream.read_buf(&mut bytes)).await.unwrap();
    }
}

#[tokio::test]
async fn a_silent_peer_is_cut_and_one_that_answers_pings_stays() {
    let (pings, mut pinged) = mpsc::channel(100);
    let (ends, mut ended) = mpsc::channel(1);
    let app = app()
        .with_limits(limits(|limits| limits.heartbeat_interval = Duration::from_secs(1)))
        .on("@ping", move |request: Request| {
            let pings = pings.clone();
            async move {
                let _ = pings.try_send(request.id());
            }
        })
        .on("@disconnect", move |request: Request, Data(end): Data<Value>| {
            let ends = ends.clone();
            async move { ends.try_send((request.id(), end["code"].clone())).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut alive = server.peer().await;
    let silent = server.raw().await;
    // The library answers pings while it is read from.
    let reading = async {
        loop {
            alive.next().await;
        }
    };
    let (gone, code) = tokio::select! {
        gone = soon("the silent one is cut", ended.recv()) => gone.unwrap(),
        () = reading => unreachable!("nothing is sent to it"),
    };
    assert_eq!(code, 1006, "it was cut, not asked to close");
    assert!(soon("pings", pinged.recv()).await.is_some());
    assert!(server.app.socket(gone).is_none());
    assert_eq!(server.app.total_sockets().await.unwrap(), 1);
    drop(silent);
    alive.quiet().await;
}
