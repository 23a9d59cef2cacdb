//! Limits, and the behaviour of the server when one is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::net::AcceptOptions;
use switchboard::protocols::ProjectRules;
use switchboard::{Data, Koji, Reply, Request, State};
use switchboard_testkit::raw::frame;
use switchboard_testkit::{KojiPeer, Peer, RawPeer, TestServer, soon, until};
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, mpsc};

use crate::app;
use crate::support::limits;

#[tokio::test]
async fn a_burst_of_5000_requests_is_answered() {
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
async fn a_peer_over_the_message_rate_is_closed_with_1008() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.messages_per_s = Some(10)))).await;
    let mut bystander = server.peer().await;
    let mut peer = server.raw().await;
    peer.send(&frame(0x81, b"{}").repeat(100)).await;
    assert_eq!(peer.close_code().await, 1008);
    bystander.quiet().await;
}

#[tokio::test]
async fn each_recipient_of_a_koji_message_counts_as_one_message() {
    let few = limits(|limits| limits.messages_per_s = Some(10));
    let server = TestServer::start(app().with_koji(Koji::new()).with_limits(few)).await;
    let mut bystander = KojiPeer::join(&server, "projectId=p").await;
    let mut peer = KojiPeer::join(&server, "projectId=p").await;
    let nobody: Vec<String> = (0..35).map(|n| format!("nobody-{n}")).collect();
    peer.emit_to("dm", json!({}), json!(nobody)).await;
    peer.quiet().await;
    peer.emit_to("dm", json!({}), json!(nobody)).await;
    let (code, reason) = peer.peer.closed().await;
    assert_eq!(code, 1008);
    assert_eq!(reason, "over 10 messages per second; each recipient counts as one");
    bystander.quiet().await;
}

#[tokio::test]
async fn a_koji_message_with_too_many_recipients_is_ignored() {
    let rules = ProjectRules { recipients_max: 3, ..ProjectRules::default() };
    let koji = Koji::new().with_projects(move |_| Some(Arc::new(rules.clone())));
    let server = TestServer::start(app().with_koji(koji)).await;
    let mut receiver = KojiPeer::join(&server, "projectId=p").await;
    let mut sender = KojiPeer::join(&server, "projectId=p").await;
    let id = receiver.id.clone();
    sender.emit_to("too-many", json!([]), json!([id, "a", "b", "c"])).await;
    sender.emit_to("allowed", json!([]), json!([id, "a", "b"])).await;
    assert_eq!(receiver.next_event().await.0, "allowed");
    receiver.quiet().await;
    sender.quiet().await;
}

#[tokio::test]
async fn a_burst_larger_than_an_outbox_reaches_receivers_that_accept_it() {
    let small = limits(|limits| limits.outbox_bytes_max = 32 * 1024);
    let server = TestServer::start(app().with_limits(small)).await;
    let mut receivers = [reader_in_room(&server).await, reader_in_room(&server).await];
    until("both have joined", async || server.app.room_size("r").await.unwrap() == 2).await;
    // The server reads more than an outbox of this burst at once.
    let (count, blob) = (64, "x".repeat(4 * 1024));
    let event = json!({ "event": "/send", "data": ["#r", blob] }).to_string();
    server.raw().await.send(&frame(0x81, event.as_bytes()).repeat(count)).await;
    let expected = format!(r#"{{"event":"message","data":"{blob}"}}"#);
    for receiver in &mut receivers {
        for n in 0..count {
            // A frame of the server has a header of four bytes here.
            let mut received = vec![0; 4 + expected.len()];
            let read = soon("a message", receiver.stream.read_exact(&mut received)).await;
            assert!(read.is_ok() && received[4..] == *expected.as_bytes(), "message {n} of {count}");
        }
    }
    assert_eq!(server.app.hub().stats().overflowed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_bystander_is_served_between_the_long_messages_of_another_connection() {
    let done = Arc::new(AtomicUsize::new(0));
    let app = app()
        .with_state(done.clone())
        .on("/long", async |State(done): State<Arc<AtomicUsize>>| {
            // Work that does not wait, such as sends to many sockets.
            std::thread::sleep(Duration::from_millis(2));
            done.fetch_add(1, Ordering::Relaxed);
        })
        .on("/done", async |State(done): State<Arc<AtomicUsize>>| Reply(done.load(Ordering::Relaxed)));
    let server = TestServer::start(app).await;
    let (mut busy, mut bystander) = (server.raw().await, server.peer().await);
    let count = 50;
    busy.send(&frame(0x81, br#"{"event":"/long"}"#).repeat(count)).await;
    let done_before = bystander.request("/done", json!({})).await.as_u64().unwrap();
    assert!(done_before < count as u64 / 2, "{done_before} of {count} messages came first");
    until("every message is handled", async || done.load(Ordering::Relaxed) == count).await;
}

#[tokio::test]
async fn rate_limits_can_be_disabled() {
    let none = limits(|limits| limits.messages_per_s = Some(1)).without_rates();
    let server = TestServer::start(app().with_limits(none)).await;
    let mut peer = server.peer().await;
    for _ in 0..100 {
        peer.emit("/echo", json!(1)).await;
    }
    peer.quiet().await;
}

/// The options of a server behind a proxy on this machine.
fn behind_a_proxy() -> AcceptOptions {
    AcceptOptions { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..AcceptOptions::default() }
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_until_one_closes() {
    let one = limits(|limits| limits.connections_per_address_max = Some(1));
    let server = TestServer::start(app().with_limits(one).with_accept_options(behind_a_proxy())).await;
    let url = server.url("/");
    let connect = async |address: &str| Peer::try_connect(&url, &[("x-forwarded-for", address)]).await;
    let first = connect("192.0.2.1").await.unwrap();
    let refused = connect("192.0.2.1").await.err().unwrap();
    assert!(refused.contains("429"), "{refused}");
    let _other = connect("192.0.2.2").await.unwrap();
    first.close().await;
    until("a connection is accepted", async || connect("192.0.2.1").await.is_ok()).await;
}

#[tokio::test]
async fn limits_per_address_do_not_apply_to_this_machine_and_to_trusted_proxies() {
    for options in [AcceptOptions::default(), behind_a_proxy()] {
        let none = limits(|limits| {
            limits.connections_per_address_max = Some(0);
            limits.http_connections_per_address_max = Some(0);
        });
        let server = TestServer::start(app().with_limits(none).with_accept_options(options)).await;
        server.peer().await.quiet().await;
    }
}

#[tokio::test]
async fn clients_behind_a_proxy_are_limited_by_their_own_addresses() {
    let one_each = limits(|limits| limits.connections_per_address_max = Some(1));
    let server = TestServer::start(app().with_limits(one_each).with_accept_options(behind_a_proxy())).await;
    let mut open = Vec::new();
    let mut connect = async |name: &'static str, value: &str| {
        let outcome = Peer::try_connect(&server.url("/"), &[(name, value)]).await;
        outcome.map(|peer| open.push(peer))
    };
    for (name, value) in [
        ("x-forwarded-for", "1.1.1.1:1000"),
        ("x-forwarded-for", "2.2.2.2:2000"),
        ("x-forwarded-for", "[2001:db8::1]:1000"),
        ("x-forwarded-for", "\"[2001:db8:0:1::1]\""),
        ("x-forwarded-for", "3.3.3.3, 127.0.0.7:44"),
        ("forwarded", "for=4.4.4.4:1000"),
        ("forwarded", "for=\"[2001:db8:0:2::1]:1000\";proto=https"),
    ] {
        assert!(connect(name, value).await.is_ok(), "{value} is the first of its address");
        let again = connect(name, value).await.unwrap_err();
        assert!(again.contains("429"), "{value}: {again}");
    }
    // A client that could choose an unreadable address for itself would otherwise have no limit.
    assert!(connect("x-forwarded-for", "unknown").await.is_ok());
    for (name, value) in [("x-forwarded-for", "5.5.5.5.5"), ("forwarded", "for=_hidden")] {
        let together = connect(name, value).await.unwrap_err();
        assert!(together.contains("429"), "{value}: {together}");
    }
}

#[tokio::test]
async fn connections_from_other_origins_are_refused() {
    let options = AcceptOptions {
        allowed_origins: Some(vec!["HTTPS://Good.Example:443/".parse().unwrap()]),
        ..AcceptOptions::default()
    };
    let server = TestServer::start(app().with_accept_options(options)).await;
    let connect_from = async |origin: &str| Peer::try_connect(&server.url("/"), &[("origin", origin)]).await;
    assert!(connect_from("https://good.example").await.is_ok());
    for origin in ["https://evil.example", "https://good.example.evil.example", "http://good.example", "null"]
    {
        assert!(connect_from(origin).await.err().unwrap().contains("403"), "{origin}");
    }
    server.peer().await.quiet().await;
}

#[tokio::test]
async fn a_handshake_that_exceeds_its_timeout_is_disconnected() {
    let short = limits(|limits| limits.handshake_timeout = Duration::from_millis(50));
    let server = TestServer::start(app().with_limits(short)).await;
    let mut silent = RawPeer::connect(server.address).await;
    let mut incomplete = RawPeer::connect(server.address).await;
    incomplete.send(b"GET / HTTP/1.1\r\nHost:").await;
    silent.read_to_end().await;
    incomplete.read_to_end().await;
}

#[tokio::test]
async fn memberships_of_a_socket_are_bounded() {
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
    assert_eq!(peer.request("/send", json!(["", 1])).await["code"], "bad_data");
}

#[tokio::test]
async fn handlers_in_flight_are_bounded_and_every_event_is_handled() {
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
    // Each reply shows that a finished handler lets the next event start.
    for done in 1..=10 {
        bystander.quiet().await;
        assert!(started.load(Ordering::Relaxed) < done + 4);
        gate.add_permits(1);
        assert_eq!(peer.next().await["data"], true);
    }
    assert_eq!(started.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_closed_with_1013_and_delays_no_others() {
    let small = limits(|limits| {
        limits.outbox_bytes_max = 64 * 1024;
        limits.stall_max = Duration::ZERO;
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
    // The kernel's buffers fill first, then the outbox; then the server closes the connection.
    let code = loop {
        if let Ok(code) = ended.try_recv() {
            break code;
        }
        assert!(sender.request("/send", json!(["#r", blob])).await.as_u64().unwrap() >= 1);
        assert_eq!(good.next_event().await.1, Value::from(blob.as_str()));
    };
    assert_eq!(code, 1013);
    assert_eq!(sender.request("/send", json!(["#r", 1])).await, 1);
    assert_eq!(good.next_event().await.1, 1);
    let stats = server.app.hub().stats();
    assert_eq!(stats.overflowed.load(Ordering::Relaxed), 1);
}

/// A peer in the room `r` that reads only when the test does.
async fn reader_in_room(server: &TestServer) -> RawPeer {
    let mut peer = server.raw().await;
    peer.send(&frame(0x81, br#"{"event":"/join","data":"r"}"#)).await;
    until("the peer has joined", async || server.app.room_size("r").await.unwrap() > 0).await;
    peer
}

#[tokio::test]
async fn a_peer_that_resumes_reading_receives_the_queued_frames_and_then_1013() {
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
async fn volatile_events_are_dropped_for_a_slow_peer_that_stays_connected() {
    let server =
        TestServer::start(app().with_limits(limits(|limits| limits.outbox_bytes_max = 64 * 1024))).await;
    let mut slow = reader_in_room(&server).await;
    let blob = "x".repeat(16 * 1024);
    while server.app.to("#r").volatile().emit("blob", &blob).unwrap() == 1 {
        tokio::task::yield_now().await;
    }
    assert!(server.app.hub().stats().dropped.volatile.load(Ordering::Relaxed) > 0);
    // The peer reads again, so later events arrive.
    let mut bytes = Vec::new();
    while server.app.to("#r").volatile().emit("small", &1).unwrap() == 0 {
        soon("bytes", slow.stream.read_buf(&mut bytes)).await.unwrap();
    }
    while !bytes.ends_with(br#"{"event":"small","data":1}"#) {
        soon("bytes", slow.stream.read_buf(&mut bytes)).await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_pings_is_disconnected_and_others_stay() {
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
    // The client library answers pings only while the test reads.
    let reading = async {
        loop {
            alive.next().await;
        }
    };
    let (disconnected, code) = tokio::select! {
        disconnected = soon("the silent peer is disconnected", ended.recv()) => disconnected.unwrap(),
        () = reading => unreachable!("the server sends no events"),
    };
    assert_eq!(code, 1006, "the server sent no close frame");
    assert!(soon("pings", pinged.recv()).await.is_some());
    assert!(server.app.socket(disconnected).is_none());
    assert_eq!(server.app.total_sockets().await.unwrap(), 1);
    drop(silent);
    alive.quiet().await;
}
