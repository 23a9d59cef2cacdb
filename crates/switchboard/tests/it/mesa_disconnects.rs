//! How connections of Mesa clients end: dead peers, broken frames, refused tokens, full and stopping servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, Identity, Limits, Mesa, MesaSettings, Request, UserId, serve};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, TestServer, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn connect(server: &TestServer) -> Peer {
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10);
    peer
}

/// A client that answers nothing by itself.
async fn raw(server: &TestServer) -> RawPeer {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    peer
}

fn login(token: &str) -> Value {
    json!({ "op": 2, "d": { "token": token } })
}

/// Takes every token but `bad` for its user's name, and counts how many it looks at.
fn app_that_counts(looks: &Arc<AtomicUsize>) -> App {
    let looks = looks.clone();
    App::new().with_verifier(move |token: String| {
        looks.fetch_add(1, Ordering::Relaxed);
        async move {
            let user = UserId::new(&token).map_err(|error| error.to_string())?;
            let identity = Identity { user, expires: None, profile: None };
            if token == "bad" { Err("no such token".to_owned()) } else { Ok(identity) }
        }
    })
}

#[tokio::test]
async fn no_token_counts_as_a_refused_one_and_after_too_many_none_is_looked_at() {
    for shown in [json!({}), json!(null), json!({ "token": 5 }), json!({ "token": "bad" })] {
        let looks = Arc::new(AtomicUsize::new(0));
        let app = app_that_counts(&looks).with_mesa(Mesa::new());
        let server =
            TestServer::start(app.with_limits(limits(|limits| limits.refused_tokens_per_min = Some(2))))
                .await;
        for _ in 0..2 {
            let mut peer = connect(&server).await;
            peer.send(&json!({ "op": 2, "d": shown })).await;
            assert_eq!(peer.closed().await.0, 1008, "{shown}");
        }
        let looks_before = looks.load(Ordering::Relaxed);
        let mut good = connect(&server).await;
        good.send(&login("7")).await;
        assert_eq!(good.closed().await.0, 1008, "after {shown}");
        assert_eq!(looks.load(Ordering::Relaxed), looks_before, "{shown}");
    }
}

#[tokio::test]
async fn pings_find_a_peer_that_is_gone_where_heartbeats_are_off() {
    let (ends, mut ended) = mpsc::channel(1);
    let mesa = Mesa::new().on("@disconnect", move |request: Request, Data(end): Data<Value>| {
        let ends = ends.clone();
        async move { ends.try_send((request.id(), end["code"].clone())).unwrap() }
    });
    let often = limits(|limits| limits.heartbeat_interval = Duration::from_millis(500));
    let server = TestServer::start(App::new().with_mesa(mesa).with_limits(often)).await;
    let mut alive = connect(&server).await;
    let silent = raw(&server).await;
    let (gone, code) = tokio::select! {
        gone = soon("the silent one is cut", ended.recv()) => gone.unwrap(),
        said = alive.next() => unreachable!("nothing is sent to it but pings: {said}"),
    };
    assert_eq!(code, 1006, "it was cut, not asked to close");
    assert!(server.app.socket(gone).is_none());
    alive.silent().await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn who_answers_no_heartbeat_is_cut_though_it_does_not_answer_the_close() {
    assert_eq!(Limits::default().close_timeout, Duration::from_secs(5));
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(100)),
        heartbeat_attempts_max: 1,
        ..MesaSettings::default()
    };
    let app = App::new().with_mesa(Mesa::new().with_settings(settings));
    let brief = limits(|limits| limits.close_timeout = Duration::from_millis(100));
    let server = TestServer::start(app.with_limits(brief)).await;
    let mut mute = raw(&server).await;
    let bytes = mute.read_to_end().await;
    assert!(
        bytes.ends_with(b"{\"op\":1,\"d\":{\"tries\":1,\"max\":1}}\x88\0"),
        "asked, and closed without a code"
    );
    soon("it is forgotten", async {
        while server.app.total_sockets().await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_closed_with_its_code() {
    let server = TestServer::start(App::new().with_mesa(Mesa::new())).await;
    let mut bystander = connect(&server).await;
    let big = vec![b'x'; 1024 * 1024 + 1];
    for (what, bytes, code) in [
        ("an unmasked frame", b"\x81\x01x".to_vec(), 1002),
        ("a reserved opcode", frame(0x83, b""), 1002),
        ("text that is not UTF-8", frame(0x81, b"\xff"), 1007),
        ("a message over the limit", frame(0x82, &big), 1009),
    ] {
        let mut peer = raw(&server).await;
        // The server may close before it has read everything.
        let _ = peer.stream.write_all(&bytes).await;
        assert_eq!(peer.close_code().await, code, "{what}");
        bystander.silent().await.expect("nothing comes");
    }
}

#[tokio::test]
async fn everyone_is_told_to_come_back_at_a_stop_on_each_listener() {
    let app = App::new().with_mesa(Mesa::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut server = TestServer::start(app.clone()).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let theirs = serve(listener, app.for_mesa_only()).with_graceful_shutdown(async { drop(stopped.await) });
    let conversation = async {
        let mut peer = connect(&server).await;
        let mut own = Peer::connect(&url).await;
        assert_eq!(own.next().await["op"], 10);
        drop(stop);
        server.begin_stop();
        for peer in [&mut peer, &mut own] {
            assert_eq!(peer.closed().await, (1012, "the server restarts".into()));
        }
    };
    let (served, ()) = soon("the stop", async { tokio::join!(theirs.into_future(), conversation) }).await;
    served.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn who_does_not_read_is_closed_with_1013() {
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
    let slow = raw(&server).await;
    let blob = "x".repeat(16 * 1024);
    // The kernel's buffers fill first; then the outbox; then it is closed.
    let code = soon("it is closed", async {
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
async fn who_has_shown_no_token_hears_what_everyone_hears_though_one_is_required() {
    let settings = MesaSettings { authentication_required: true, ..MesaSettings::default() };
    let server = TestServer::start(App::new().with_mesa(Mesa::new().with_settings(settings))).await;
    let mut peer = connect(&server).await;
    server.app.broadcast("ALL", &1).unwrap();
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "ALL" }));
}
