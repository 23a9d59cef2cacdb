//! How Mesa connections end: dead peers, invalid frames, refused tokens, full servers, and shutdown.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::protocols::MesaSettings;
use switchboard::{App, Data, Identity, Limits, Mesa, Request, UserId, serve};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, TestServer, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::support::{connect, connect_raw, limits};

#[tokio::test]
async fn pings_detect_a_dead_peer_if_heartbeats_are_disabled() {
    let (ends, mut ended) = mpsc::channel(1);
    let mesa = Mesa::new().on("@disconnect", move |request: Request, Data(end): Data<Value>| {
        let ends = ends.clone();
        async move { ends.try_send((request.id(), end["code"].clone())).unwrap() }
    });
    let often = limits(|limits| limits.heartbeat_interval = Duration::from_millis(500));
    let server = TestServer::start(App::new().with_mesa(mesa).with_limits(often)).await;
    let mut alive = connect(&server).await;
    let silent = connect_raw(&server).await;
    let (disconnected, code) = tokio::select! {
        disconnected = soon("the silent peer is disconnected", ended.recv()) => disconnected.unwrap(),
        frame = alive.next() => unreachable!("the server sends only pings: {frame}"),
    };
    assert_eq!(code, 1006, "the server sent no close frame");
    assert!(server.app.socket(disconnected).is_none());
    alive.silent().await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn a_client_that_answers_neither_heartbeats_nor_the_close_is_disconnected() {
    assert_eq!(Limits::default().close_timeout, Duration::from_secs(5));
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(100)),
        heartbeat_attempts_max: 1,
        ..MesaSettings::default()
    };
    let app = App::new().with_mesa(Mesa::new().with_settings(settings));
    let brief = limits(|limits| limits.close_timeout = Duration::from_millis(100));
    let server = TestServer::start(app.with_limits(brief)).await;
    let mut unresponsive = connect_raw(&server).await;
    let bytes = unresponsive.read_to_end().await;
    assert!(
        bytes.ends_with(b"{\"op\":1,\"d\":{\"tries\":1,\"max\":1}}\x88\0"),
        "a heartbeat, then a close without a code"
    );
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
}

#[tokio::test]
async fn a_protocol_violation_closes_the_connection_with_its_code() {
    let server = TestServer::start(App::new().with_mesa(Mesa::new())).await;
    let mut bystander = connect(&server).await;
    let big = vec![b'x'; 1024 * 1024 + 1];
    for (violation, bytes, code) in [
        ("an unmasked frame", b"\x81\x01x".to_vec(), 1002),
        ("a reserved opcode", frame(0x83, b""), 1002),
        ("text that is not UTF-8", frame(0x81, b"\xff"), 1007),
        ("a message over the limit", frame(0x82, &big), 1009),
    ] {
        let mut peer = connect_raw(&server).await;
        // The server may close before it has read all bytes, so an error is expected.
        let _ = peer.stream.write_all(&bytes).await;
        assert_eq!(peer.close_code().await, code, "{violation}");
        bystander.silent().await.expect("the client receives nothing");
    }
}

#[tokio::test]
async fn shutdown_closes_the_clients_of_every_listener_with_1012() {
    let app = App::new().with_mesa(Mesa::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut server = TestServer::start(app.clone()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mesa_server =
        serve(listener, app.for_mesa_only()).with_graceful_shutdown(async { drop(stopped.await) });
    let conversation = async {
        let mut peer = connect(&server).await;
        let mut on_mesa_listener = Peer::connect(&url).await;
        assert_eq!(on_mesa_listener.next().await["op"], 10);
        drop(stop);
        server.begin_stop();
        for peer in [&mut peer, &mut on_mesa_listener] {
            assert_eq!(peer.closed().await, (1012, "the server restarts".into()));
        }
    };
    let (served, ()) =
        soon("the shutdown", async { tokio::join!(mesa_server.into_future(), conversation) }).await;
    served.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed_with_1013() {
    let (ends, mut ended) = mpsc::channel(1);
    let mesa = Mesa::new().on("@disconnect", move |Data(end): Data<Value>| {
        let ends = ends.clone();
        async move { ends.try_send(end["code"].clone()).unwrap() }
    });
    let small = limits(|limits| {
        limits.outbox_bytes_max = 64 * 1024;
        limits.close_timeout = Duration::from_millis(100);
    });
    let server = TestServer::start(App::new().with_mesa(mesa).with_limits(small)).await;
    let slow = connect_raw(&server).await;
    let blob = "x".repeat(16 * 1024);
    // The kernel's buffers fill first, then the outbox; then the server closes the connection.
    let code = soon("the connection is closed", async {
        loop {
            if let Ok(code) = ended.try_recv() {
                break code;
            }
            let _ = server.app.broadcast("N", &blob);
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(code, 1013);
    drop(slow);
}

#[tokio::test]
async fn a_full_server_refuses_the_handshake() {
    let app = App::new().with_mesa(Mesa::new());
    let server = TestServer::start(app.with_limits(limits(|limits| limits.connections_max = Some(1)))).await;
    let mut first = connect(&server).await;
    let mut second = RawPeer::connect(server.address).await;
    second.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    assert!(second.read_head().await.starts_with("HTTP/1.1 503"));
    first.silent().await.unwrap();
}

#[tokio::test]
async fn a_broadcast_reaches_a_client_without_a_token_even_if_one_is_required() {
    let settings = MesaSettings { authentication_required: true, ..MesaSettings::default() };
    let server = TestServer::start(App::new().with_mesa(Mesa::new().with_settings(settings))).await;
    let mut peer = connect(&server).await;
    server.app.broadcast("ALL", &1).unwrap();
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "ALL" }));
}

/// A server whose verifier waits for `finish`, and what tells that it has begun.
async fn slow_verifier(mesa: Mesa) -> (TestServer, Arc<Notify>, Arc<Notify>) {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, finished) = (begun.clone(), finish.clone());
    let verifier = move |_: String| {
        let (begins, finished) = (begins.clone(), finished.clone());
        async move {
            begins.notify_one();
            finished.notified().await;
            UserId::new("7").map(Identity::new)
        }
    };
    let server = TestServer::start(App::new().with_mesa(mesa).with_verifier(verifier)).await;
    (server, begun, finish)
}

const TOKEN: &[u8] = br#"{"op":2,"d":{"token":"t"}}"#;

#[tokio::test]
async fn a_client_that_disconnects_during_its_login_is_removed_at_once() {
    let (server, begun, _finish) = slow_verifier(Mesa::new()).await;
    let mut gone = connect_raw(&server).await;
    gone.send(&frame(0x81, TOKEN)).await;
    soon("the verifier is called", begun.notified()).await;
    drop(gone);
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
}

#[tokio::test]
async fn a_client_that_closes_during_its_login_is_answered_at_once() {
    let (server, begun, _finish) = slow_verifier(Mesa::new()).await;
    let mut peer = connect(&server).await;
    peer.send(&serde_json::from_slice(TOKEN).unwrap()).await;
    soon("the verifier is called", begun.notified()).await;
    soon("the close frame", peer.close()).await;
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
}

#[tokio::test]
async fn what_a_client_sends_during_its_login_before_it_disconnects_is_handled_after_the_login() {
    let (users, mut used) = mpsc::channel(1);
    let mesa = Mesa::new().on("PING", move |request: Request| {
        let users = users.clone();
        async move { users.try_send(request.socket().user().map(|user| user.to_string())).unwrap() }
    });
    let (server, begun, finish) = slow_verifier(mesa).await;
    let mut peer = connect_raw(&server).await;
    peer.send(&[frame(0x81, TOKEN), frame(0x81, br#"{"op":0,"t":"PING"}"#)].concat()).await;
    peer.stream.shutdown().await.unwrap();
    soon("the verifier is called", begun.notified()).await;
    finish.notify_one();
    assert_eq!(soon("the message", used.recv()).await.unwrap().as_deref(), Some("7"));
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
}

#[tokio::test]
async fn a_client_that_sends_much_during_its_login_loses_nothing() {
    let (counts, mut counted) = mpsc::channel(1000);
    let mesa = Mesa::new().on("PART", move |Data(number): Data<u32>| {
        let counts = counts.clone();
        async move { counts.try_send(number).unwrap() }
    });
    let (server, begun, finish) = slow_verifier(mesa).await;
    let mut peer = connect(&server).await;
    peer.send(&serde_json::from_slice(TOKEN).unwrap()).await;
    soon("the verifier is called", begun.notified()).await;
    for number in 0..1000 {
        let padding = "x".repeat(100);
        peer.send(&json!({ "op": 0, "t": "PART", "d": number, "padding": padding })).await;
    }
    finish.notify_one();
    for number in 0..1000 {
        assert_eq!(soon("a message", counted.recv()).await.unwrap(), number);
    }
}
