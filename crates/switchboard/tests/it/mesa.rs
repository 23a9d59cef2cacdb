//! The Mesa protocol over real sockets: login, heartbeats, dispatching, and invalid input.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::protocols::MesaSettings;
use switchboard::{App, Data, Identity, Mesa, Payload, Reply, Socket, Target, UserId, serve};
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::support::connect;

/// Accepts tokens of the form `user:<id>`.
async fn verify(token: String) -> Result<Identity, String> {
    let user = token.strip_prefix("user:").ok_or("no such token")?;
    let user = UserId::new(user).map_err(|error| error.to_string())?;
    Ok(Identity::new(user))
}

fn app_with(settings: MesaSettings) -> App {
    App::new().with_mesa(Mesa::new().with_settings(settings)).with_verifier(verify)
}

async fn start(settings: MesaSettings) -> TestServer {
    TestServer::start(app_with(settings)).await
}

async fn log_in(peer: &mut Peer, user: &str) {
    peer.send(&json!({ "op": 2, "d": { "token": format!("user:{user}"), "shouldSync": true } })).await;
    assert_eq!(peer.next().await, json!({ "op": 22, "d": { "id": user } }));
}

#[tokio::test]
async fn the_hello_message_announces_intervals_and_always_contains_rules() {
    let server = start(MesaSettings::default()).await;
    let mut peer = Peer::connect(&server.url("/mesa/any?x=1")).await;
    let hello =
        json!({ "op": 10, "d": { "c_authentication_timeout": 10_000, "rules": ["sends_user_object"] } });
    assert_eq!(peer.next().await, hello);

    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_secs(60)),
        reconnect_interval: Some(Duration::from_millis(1500)),
        sends_user_object: false,
        ..MesaSettings::default()
    };
    let server = start(settings).await;
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    let hello = json!({ "op": 10, "d": {
        "c_heartbeat_interval": 60_000,
        "c_reconnect_interval": 1500,
        "c_authentication_timeout": 10_000,
        "rules": [],
    } });
    assert_eq!(peer.next().await, hello);
    peer.send(&json!({ "op": 2, "d": { "token": "user:7" } })).await;
    assert_eq!(peer.next().await, json!({ "op": 22, "d": {} }));
}

#[tokio::test]
async fn a_client_of_another_version_is_closed_if_versions_are_enforced() {
    let (sender, mut messages) = tokio::sync::mpsc::channel(10);
    let settings = MesaSettings {
        enforces_version: Some("1.5.8".into()),
        stores_messages: true,
        ..MesaSettings::default()
    };
    let mesa = Mesa::new().with_settings(settings).on("@any", move |data: Data<Value>| {
        let sent = sender.try_send(data.0);
        async { sent.unwrap() }
    });
    let server = TestServer::start(App::new().with_mesa(mesa)).await;
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    let rules = json!(["enforce_equal_versions", "store_messages", "sends_user_object"]);
    assert_eq!(peer.next().await["d"]["rules"], rules);
    peer.send(&json!({ "op": 0, "d": { "v": "1.5.8" }, "t": "CLIENT_VERSION" })).await;
    // Neither another operation nor another type is a version message.
    peer.send(&json!({ "op": 7, "d": { "v": "1" }, "t": "CLIENT_VERSION" })).await;
    peer.send(&json!({ "op": 0, "d": { "v": "2" }, "t": "OTHER" })).await;
    for v in ["1", "2"] {
        assert_eq!(soon("the handler is called", messages.recv()).await, Some(json!({ "v": v })));
    }
    peer.silent().await.unwrap();
    for d in [json!({ "v": "1.5.7" }), json!({}), json!({ "v": 1.5 }), json!(null), json!("1.5.8")] {
        let mut peer = connect(&server).await;
        peer.send(&json!({ "op": 0, "d": d, "t": "CLIENT_VERSION" })).await;
        assert_eq!(peer.closed().await.0, 1002, "{d}");
    }
    assert!(messages.try_recv().is_err(), "handlers do not receive version messages");
}

#[tokio::test]
async fn a_version_message_is_an_ordinary_message_if_versions_are_not_enforced() {
    let version = async |socket: Socket, Data(data): Data<Value>| socket.emit("ECHO", &data).unwrap();
    let mesa = Mesa::new().on("CLIENT_VERSION", version);
    let server = TestServer::start(App::new().with_mesa(mesa)).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 0, "d": { "v": "0" }, "t": "CLIENT_VERSION" })).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": { "v": "0" }, "t": "ECHO" }));
}

#[tokio::test]
async fn a_send_to_a_user_reaches_all_its_sockets_and_no_others() {
    let server = start(MesaSettings::default()).await;
    let (mut phone, mut laptop) = (connect(&server).await, connect(&server).await);
    let (mut other, mut anonymous) = (connect(&server).await, connect(&server).await);
    log_in(&mut phone, "7").await;
    log_in(&mut laptop, "7").await;
    log_in(&mut other, "8").await;
    assert_eq!(server.app.emit_to_user("7", "NEWS", &json!({ "n": 1 })).unwrap(), 2);
    for peer in [&mut phone, &mut laptop] {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": { "n": 1 }, "t": "NEWS" }));
    }
    server.app.broadcast("ALL", &json!({})).unwrap();
    for peer in [&mut phone, &mut laptop, &mut other, &mut anonymous] {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": {}, "t": "ALL" }));
    }
}

#[tokio::test]
async fn a_second_login_replaces_the_user() {
    let server = start(MesaSettings::default()).await;
    let mut peer = connect(&server).await;
    log_in(&mut peer, "7").await;
    log_in(&mut peer, "8").await;
    assert_eq!(server.app.emit_to_user("7", "NEWS", &json!({})).unwrap(), 0);
    assert_eq!(server.app.emit_to_user("8", "NEWS", &json!({})).unwrap(), 1);
}

#[tokio::test]
async fn the_login_reply_contains_the_profile_of_the_verifier() {
    let app = App::new().with_mesa(Mesa::new()).with_verifier(async |_: String| {
        let profile = Payload::of(&json!({ "id": 7, "name": "Ann" })).ok();
        UserId::new("7").map(|user| Identity { profile, ..Identity::new(user) })
    });
    let server = TestServer::start(app).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 2, "d": { "token": "t" } })).await;
    assert_eq!(peer.next().await, json!({ "op": 22, "d": { "id": 7, "name": "Ann" } }));
}

#[tokio::test]
async fn a_refused_or_malformed_token_closes_with_1008() {
    let server = start(MesaSettings::default()).await;
    let mut bystander = connect(&server).await;
    for d in [json!({ "token": "nonsense" }), json!({}), json!(null), json!([]), json!({ "token": 5 })] {
        let mut peer = connect(&server).await;
        peer.send(&json!({ "op": 2, "d": d })).await;
        assert_eq!(peer.closed().await.0, 1008, "{d}");
    }
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 2 })).await;
    assert_eq!(peer.closed().await.0, 1008);
    bystander.silent().await.expect("the client receives nothing");
}

#[tokio::test]
async fn a_panic_in_the_verifier_refuses_only_that_token() {
    let verifier = async |token: String| {
        tokio::task::yield_now().await;
        assert_ne!(token, "boom");
        verify(token).await
    };
    let server = TestServer::start(App::new().with_mesa(Mesa::new()).with_verifier(verifier)).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 2, "d": { "token": "boom" } })).await;
    assert_eq!(peer.closed().await.0, 1008);
    let mut other = connect(&server).await;
    log_in(&mut other, "7").await;
}

#[tokio::test]
async fn a_refused_token_keeps_the_connection_open_if_so_configured() {
    let server = start(MesaSettings { closes_on_refusal: false, ..MesaSettings::default() }).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 2, "d": { "token": "nonsense" } })).await;
    peer.silent().await.expect("the client receives nothing");
    log_in(&mut peer, "7").await;
}

#[tokio::test]
async fn a_client_without_a_token_is_closed_after_the_timeout_if_one_is_required() {
    let settings = MesaSettings {
        authentication_required: true,
        authentication_timeout: Duration::from_secs(1),
        ..MesaSettings::default()
    };
    let server = start(settings).await;
    let mut logged_in = connect(&server).await;
    log_in(&mut logged_in, "7").await;
    let mut anonymous = connect(&server).await;
    assert_eq!(anonymous.closed().await.0, 1008);
    logged_in.silent().await.expect("the client receives nothing");
}

#[tokio::test]
async fn messages_after_a_token_wait_until_it_is_verified() {
    let (verifying, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (verification_started, finish_verification) = (verifying.clone(), answer.clone());
    let verifier = move |token: String| {
        let (verifying, answer) = (verifying.clone(), answer.clone());
        async move {
            verifying.notify_one();
            answer.notified().await;
            verify(token).await
        }
    };
    let mesa = Mesa::new().on("GET_USER", async |socket: Socket| {
        let user = socket.user().map(|user| user.to_string());
        socket.emit("USER", &user)
    });
    let server = TestServer::start(App::new().with_mesa(mesa).with_verifier(verifier)).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 0, "t": "GET_USER" })).await;
    peer.send(&json!({ "op": 2, "d": { "token": "user:7" } })).await;
    peer.send(&json!({ "op": 0, "t": "GET_USER" })).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": null, "t": "USER" }));
    soon("the verifier is called", verification_started.notified()).await;
    finish_verification.notify_one();
    assert_eq!(peer.next().await["op"], 22);
    assert_eq!(peer.next().await, json!({ "op": 0, "d": "7", "t": "USER" }));
}

#[tokio::test]
async fn messages_are_routed_to_the_handler_of_their_type() {
    let mesa = Mesa::new()
        .on("ADD", async |socket: Socket, Data((a, b)): Data<(i64, i64)>| socket.emit("SUM", &(a + b)));
    let server = TestServer::start(App::new().with_mesa(mesa)).await;
    let mut peer = connect(&server).await;
    peer.send(&json!({ "op": 0, "t": "UNKNOWN", "d": {} })).await;
    peer.send(&json!({ "op": 0, "d": {} })).await;
    peer.send(&json!({ "op": 0, "t": "ADD", "d": [2, 3] })).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 5, "t": "SUM" }));
}

#[tokio::test]
async fn invalid_frames_are_ignored() {
    let server = start(MesaSettings::default()).await;
    let (mut peer, mut bystander) = (connect(&server).await, connect(&server).await);
    for frame in ["{bad", "", "null", "[]", "{}", r#"{"op":"0"}"#, r#"{"op":5,"t":"DISCONNECT_CLIENT"}"#] {
        peer.send_text(frame).await;
    }
    peer.send_binary(&[0xff, 0xfe]).await;
    peer.send_binary(br#"{"op":1}"#).await;
    assert_eq!(peer.next().await, json!({ "op": 11, "d": {} }), "a client may send heartbeats too");
    log_in(&mut peer, "7").await;
    bystander.silent().await.expect("the client receives nothing");
}

#[tokio::test]
async fn a_client_that_answers_no_heartbeats_is_closed_without_a_code_and_others_stay() {
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(400)),
        heartbeat_attempts_max: 2,
        ..MesaSettings::default()
    };
    let server = start(settings).await;
    let mut alive = connect(&server).await;
    for _ in 0..3 {
        assert_eq!(alive.next().await, json!({ "op": 1, "d": {} }));
        alive.send(&json!({ "op": 11, "d": {} })).await;
    }
    let mut unresponsive = connect(&server).await;
    assert_eq!(unresponsive.next().await, json!({ "op": 1, "d": {} }));
    assert_eq!(unresponsive.next().await, json!({ "op": 1, "d": { "tries": 1, "max": 2 } }));
    assert_eq!(unresponsive.next().await, json!({ "op": 1, "d": { "tries": 2, "max": 2 } }));
    assert_eq!(unresponsive.closed().await.0, 1005);
}

#[tokio::test]
async fn a_mesa_listener_accepts_every_path() {
    let app = app_with(MesaSettings::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/anything", listener.local_addr().unwrap());
    let server = TestServer::start(app.clone()).await;
    let mesa_server = serve(listener, app.for_mesa_only()).into_future();
    let conversation = async {
        let mut peer = Peer::connect(&url).await;
        assert_eq!(peer.next().await["op"], 10);
        log_in(&mut peer, "7").await;
        server.app.emit_to_user("7", "NEWS", &json!({})).unwrap();
        assert_eq!(peer.next().await["t"], "NEWS");
    };
    tokio::select! {
        _ = mesa_server => panic!("the server stopped by itself"),
        () = conversation => {}
    }
}

#[tokio::test]
async fn a_message_reaches_a_user_on_every_protocol() {
    let app = app_with(MesaSettings::default())
        .with_koji(switchboard::Koji::new())
        .on("/login", async |socket: Socket, Data(user): Data<String>| socket.login(&user).map(Reply));
    let server = TestServer::start(app).await;
    let mut mesa = connect(&server).await;
    log_in(&mut mesa, "7").await;
    let mut koji = KojiPeer::join(&server, "projectId=default&authorization=user%3A7").await;
    let mut emit = server.peer().await;
    emit.request("/login", json!("7")).await;
    koji.next_list().await;
    assert_eq!(server.app.to(Target::user("7").unwrap()).emit("hi", &json!({ "n": 1 })).unwrap(), 3);
    assert_eq!(mesa.next().await, json!({ "op": 0, "d": { "n": 1 }, "t": "hi" }));
    assert_eq!(emit.next_event().await, ("hi".into(), json!({ "n": 1 })));
    let (name, payload): (String, Value) = koji.next_event().await;
    assert_eq!((name.as_str(), &payload["n"]), ("hi", &json!(1)));
}
