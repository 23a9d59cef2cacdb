//! The Koji protocol over real sockets: shards, member lists, events, and invalid input.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{
    App, Data, Koji, Mesa, Next, ProjectId, ProjectRules, Relay, Reply, Request, Response, ShardName, Socket,
    Target, UserId,
};
use switchboard_testkit::{KojiPeer, Peer, RawPeer, TestServer, raw, soon, until};

fn app() -> App {
    App::new().with_koji(Koji::new())
}

pub(crate) async fn start() -> TestServer {
    TestServer::start(app()).await
}

async fn with_rules(rules: ProjectRules) -> TestServer {
    TestServer::start(App::new().with_koji(Koji::new().with_rules(rules))).await
}

pub(crate) async fn join(server: &TestServer, query: &str) -> KojiPeer {
    KojiPeer::join(server, query).await
}

/// Two clients on the shard `s` of the project `p`, both with the complete member list.
pub(crate) async fn two(server: &TestServer) -> (KojiPeer, KojiPeer) {
    let mut one = join(server, "projectId=p&shardName=s").await;
    let mut two = join(server, "projectId=p&shardName=s").await;
    one.list_of(2).await;
    two.list_of(2).await;
    (one, two)
}

/// A client that knows its id may give it to others, and they may send to it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_received_connected_is_a_member_of_its_shard() {
    let has_run = Arc::new(AtomicBool::new(false));
    let hook = {
        let has_run = has_run.clone();
        move || {
            // Occupies this thread, so that another one could send the first frame meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            has_run.store(true, Ordering::Relaxed);
            ready(())
        }
    };
    let server = TestServer::start(App::new().with_koji(Koji::new().on("@connection", hook))).await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    assert!(has_run.swap(false, Ordering::Relaxed), "the hook runs before the first frame is sent");
    for n in 0..20 {
        let mut bob = join(&server, "projectId=p&shardName=s").await;
        ann.emit("tap", json!([n])).await;
        assert_eq!(bob.next_event().await, ("tap".into(), json!([n])));
    }
}

fn without_metadata(mut payload: Value) -> Value {
    let object = payload.as_object_mut().expect("the payload is an object");
    for key in ["__clientId", "__timestamp", "clientId", "timestamp"] {
        object.remove(key);
    }
    payload
}

/// Sends `GET path` and returns the head and the body of the response.
pub(crate) async fn get(server: &TestServer, path: &str) -> (String, String) {
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let head = raw.read_head().await;
    let body = String::from_utf8(raw.read_to_end().await).unwrap();
    (head, body)
}

async fn shards(server: &TestServer, project: &str) -> Value {
    serde_json::from_str(&get(server, &format!("/info/{project}")).await.1).unwrap()
}

async fn until_shards_are(server: &TestServer, project: &str, expected: Value) {
    until("the project has these shards", async || shards(server, project).await == expected).await;
}

#[tokio::test]
async fn a_client_receives_its_shard_and_then_the_member_list() {
    let server = start().await;
    let mut ann = join(&server, "maxConnectionsPerShard=100&projectId=p").await;
    assert_eq!(ann.shard, "shard-1");
    let list = ann.next_list().await;
    let entry = &list[&ann.id];
    assert_eq!((list.as_object().unwrap().len(), &entry["userInfo"]), (1, &json!({})));
    assert!(entry["lastPing"].as_u64().unwrap() > 1_700_000_000_000, "{entry}");
    let named = join(&server, "projectId=p&shardName=a%20%23b").await;
    assert_eq!(named.shard, "a #b");
    let mut at_koji = Peer::connect(&server.url("/koji")).await;
    assert_eq!(at_koji.next().await["payload"]["shardName"], "shard-1");
    assert_eq!(
        shards(&server, "undefined").await,
        json!([{ "shardName": "shard-1", "numConnectedClients": 1 }])
    );
}

#[tokio::test]
async fn addresses_are_compared_by_the_segments_of_their_path() {
    let server = TestServer::start(app().with_mesa(Mesa::new())).await;
    for path in ["/koji/?projectId=p", "//koji?projectId=p", "//?projectId=p", "/%6Boji/?projectId=p"] {
        let mut koji = Peer::connect(&server.url(path)).await;
        assert_eq!(koji.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED", "{path}");
    }
    for path in ["/mesa/", "//mesa", "/mesa//any"] {
        let mut mesa = Peer::connect(&server.url(path)).await;
        assert_eq!(mesa.next().await["op"], 10, "{path}");
    }
    for path in ["/kojis", "/chat/koji", "/chat?projectId=p", "/KOJI"] {
        Peer::connect(&server.url(path)).await.quiet().await;
    }
    let named = join(&server, "projectId=p&shardName=a").await;
    assert_eq!(get(&server, "//info/p").await.1, get(&server, "/info/p").await.1);
    drop(named);
}

#[tokio::test]
async fn a_path_that_no_protocol_serves_is_refused() {
    let server = start().await;
    for path in ["/koji/x", "/koji/x?projectId=p", "//koji//info/"] {
        assert!(status(&server, path).await.contains("404"), "{path}");
    }
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(raw::HANDSHAKE.replace("GET / ", "GET /koji/x ").as_bytes()).await;
    raw.read_head().await;
    let body = soon("the reason", async {
        let mut body = [0; 66];
        tokio::io::AsyncReadExt::read_exact(&mut raw.stream, &mut body).await.map(|_| body)
    });
    let body = String::from_utf8(body.await.unwrap().to_vec()).unwrap();
    assert_eq!(body, "no protocol is served at this path; Koji clients connect to /koji\n");
}

#[tokio::test]
async fn automatic_placement_fills_shards_in_order_and_reuses_freed_seats() {
    let server = start().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(join(&server, "projectId=p&maxConnectionsPerShard=2").await);
    }
    let placed: Vec<_> = clients.iter().map(|client| client.shard.as_str()).collect();
    assert_eq!(placed, ["shard-1", "shard-1", "shard-2", "shard-2", "shard-3"]);
    clients.remove(1).peer.close().await;
    clients[0].list_where(|list| list.as_object().unwrap().len() == 1).await;
    let expected = json!([
        { "shardName": "shard-2", "numConnectedClients": 2 },
        { "shardName": "shard-1", "numConnectedClients": 1 },
        { "shardName": "shard-3", "numConnectedClients": 1 },
    ]);
    until_shards_are(&server, "p", expected).await;
    assert_eq!(join(&server, "projectId=p&maxConnectionsPerShard=2").await.shard, "shard-1");
}

#[tokio::test]
async fn concurrent_connects_exceed_no_capacity_and_leave_no_seat_taken() {
    let server = start().await;
    let mut connecting = tokio::task::JoinSet::new();
    for number in 0..120 {
        let url = server.url("/?projectId=p&maxConnectionsPerShard=7");
        let address = server.address;
        connecting.spawn(async move {
            if number % 4 == 0 {
                // Disconnects before the server can send anything.
                let mut raw = RawPeer::connect(address).await;
                let handshake =
                    raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&maxConnectionsPerShard=7 ");
                raw.send(handshake.as_bytes()).await;
                return None;
            }
            let mut peer = Peer::connect(&url).await;
            let shard = peer.next().await["payload"]["shardName"].as_str().unwrap().to_owned();
            Some((shard, peer))
        });
    }
    let peers: Vec<_> = connecting.join_all().await.into_iter().flatten().collect();
    let mut seated = std::collections::BTreeMap::<&str, usize>::new();
    for (shard, _) in &peers {
        *seated.entry(shard).or_default() += 1;
    }
    assert!(seated.values().all(|seated| *seated <= 7), "{seated:?}");
    for shard in shards(&server, "p").await.as_array().unwrap() {
        assert!(shard["numConnectedClients"].as_u64().unwrap() <= 7, "{shard}");
    }
    drop(peers);
    until_shards_are(&server, "p", json!([])).await;
}

#[tokio::test]
async fn an_event_reaches_the_whole_shard_with_its_sender_and_time() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    let mut on_other_shard = join(&server, "projectId=p&shardName=other").await;
    let mut in_other_project = join(&server, "projectId=q&shardName=s").await;
    ann.emit("chat", json!({ "body": "hi", "clientId": "mine" })).await;
    for peer in [&mut ann, &mut bob] {
        let (name, payload) = peer.next_event().await;
        assert_eq!(name, "chat");
        assert!(payload["__timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(payload["timestamp"], payload["__timestamp"]);
        assert_eq!(payload["clientId"], "mine");
    }
    bob.peer.send_text(r#"{"eventName":"new_tap"}"#).await;
    let (_, payload) = ann.next_event().await;
    assert_eq!((&payload["__clientId"], &payload["clientId"]), (&json!(bob.id), &json!(bob.id)));
    assert_eq!(without_metadata(payload), json!({}));
    bob.next_event().await;
    bob.peer.send_binary(br#"{"eventName":"list","payload":[1,null]}"#).await;
    assert_eq!(ann.next_event().await, ("list".into(), json!([1, null])));
    on_other_shard.quiet().await;
    in_other_project.quiet().await;
}

#[tokio::test]
async fn events_of_one_sender_arrive_once_and_in_order() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    for n in 0..500 {
        ann.emit("n", json!(n)).await;
    }
    for n in 0..500 {
        assert_eq!(bob.next_event().await, ("n".into(), json!(n)));
    }
    bob.quiet().await;
}

#[tokio::test]
async fn an_event_with_recipients_reaches_only_them_on_any_shard_of_the_project() {
    let app = app().with_verifier(async |token: String| UserId::new(&token).map(identity));
    let server = TestServer::start(app).await;
    let (mut ann, mut bob) = two(&server).await;
    let mut carl = join(&server, "projectId=p&shardName=other&authorization=carl").await;
    let in_other_project = join(&server, "projectId=q&authorization=carl").await;
    let to = json!([carl.id, "carl", carl.id, bob.id, 5, null, ["x"], "nobody"]);
    ann.emit_to("some", json!({ "x": 1 }), to).await;
    for peer in [&mut bob, &mut carl] {
        let (name, payload) = peer.next_event().await;
        assert_eq!((name.as_str(), without_metadata(payload)), ("some", json!({ "x": 1 })));
        peer.quiet().await;
    }
    ann.emit_to("one", json!("text"), json!("carl")).await;
    assert_eq!(carl.next_event().await, ("one".into(), json!("text")));
    for without_match in
        [json!([]), json!(["unknown"]), json!({ "a": 1 }), json!(7), json!([in_other_project.id])]
    {
        ann.emit_to("nobody", json!({}), without_match).await;
    }
    ann.quiet().await;
    for mut peer in [bob, carl, in_other_project] {
        peer.quiet().await;
    }
}

#[tokio::test]
async fn shard_info_is_sorted_by_size_and_open_to_every_origin() {
    let server = start().await;
    let (head, body) = get(&server, "/info/nobody-there").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("access-control-allow-origin: *") && head.contains("application/json"), "{head}");
    assert_eq!(body, "[]");
    let mut clients = Vec::new();
    for shard in ["b", "a", "c", "c"] {
        clients.push(join(&server, &format!("projectId=my%20game&shardName={shard}")).await);
    }
    let expected = json!([
        { "shardName": "c", "numConnectedClients": 2 },
        { "shardName": "a", "numConnectedClients": 1 },
        { "shardName": "b", "numConnectedClients": 1 },
    ]);
    assert_eq!(shards(&server, "my%20game").await, expected);
    assert_eq!(shards(&server, "other").await, json!([]));
}

#[tokio::test]
async fn http_routes_of_the_app_work_beside_the_koji_protocol() {
    let routes = axum::Router::new().route("/hello", axum::routing::get(async || "routes"));
    let server = TestServer::start(app().with_http(routes.clone())).await;
    assert_eq!(get(&server, "/hello").await.1, "routes");
    assert_eq!(get(&server, "/info/p").await.1, "[]");
    let without_koji = TestServer::start(App::new().with_http(routes)).await;
    assert!(get(&without_koji, "/info/p").await.0.starts_with("HTTP/1.1 404"));
    let mut emit = Peer::connect(&without_koji.url("/?projectId=p")).await;
    emit.quiet().await;
}

async fn status(server: &TestServer, path: &str) -> String {
    Peer::try_connect(&server.url(path), &[]).await.err().unwrap_or_default()
}

#[tokio::test]
async fn invalid_names_and_forbidden_projects_are_refused_in_the_handshake() {
    let server = start().await;
    let long = "x".repeat(257);
    for path in [format!("/?projectId=p&shardName={long}"), format!("/?projectId={long}")] {
        let error = status(&server, &path).await;
        assert!(error.contains("400"), "{error}");
    }
    for invalid in ["0", "-1", "1e9", "NaN", "x", "", "0x10", "%00", "10001", "[]"] {
        join(&server, &format!("projectId=invalid&maxConnectionsPerShard={invalid}")).await;
    }
    let only_p = Koji::new()
        .with_projects(|id| (*id == "p").then(|| ProjectRules::default().into()))
        .with_undefined_project(false);
    let server = TestServer::start(App::new().with_koji(only_p)).await;
    join(&server, "projectId=p").await;
    assert!(status(&server, "/?projectId=q").await.contains("403"));
    assert!(status(&server, "/koji").await.contains("400"));
}

#[tokio::test]
async fn invalid_frames_are_ignored_and_do_not_affect_other_clients() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    let deep = format!(r#"{{"eventName":"a","payload":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let long = json!({ "eventName": "x".repeat(257) }).to_string();
    let over = format!(r#"{{"eventName":"a","payload":"{}"}}"#, "x".repeat(128_000));
    for invalid in [
        "",
        "{",
        "null",
        "[]",
        "5",
        "{}",
        "\"x\"",
        r#"{"eventName":5}"#,
        r#"{"eventName":""}"#,
        r#"{"event":"a","data":1}"#,
        r#"{"eventName":"a","recipients":5}"#,
        &deep,
        &long,
        &over,
        r#"{"eventName":"@@KOJI_DISPATCH/CONNECTED","payload":{"clientId":"x","shardName":"y"}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED","payload":{"connectedClients":{}}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":{"a":1}}}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY"}"#,
        r#"{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{"token":"a.b.c"}}"#,
    ] {
        ann.peer.send_text(invalid).await;
    }
    ann.peer.send_binary(b"\xff\x00not json").await;
    ann.quiet().await;
    bob.quiet().await;
    let exact = format!(r#"{{"eventName":"a","payload":"{}"}}"#, "€".repeat(128_000 - 30));
    ann.peer.send_text(exact).await;
    assert_eq!(bob.next_event().await.0, "a");
}

#[tokio::test]
async fn a_frame_over_512_kib_closes_with_1009() {
    let server = start().await;
    let (mut ann, mut bob) = two(&server).await;
    ann.peer.send_text("x".repeat(512 * 1024 + 1)).await;
    assert_eq!(ann.peer.closed().await.0, 1009);
    drop(ann);
    bob.list_of(1).await;
    bob.quiet().await;
}

fn identity(user: UserId) -> switchboard::Identity {
    switchboard::Identity::new(user)
}

#[tokio::test]
async fn a_token_authenticates_the_connection_and_an_invalid_one_changes_nothing() {
    let app = app().with_verifier(async |token: String| match token.strip_prefix("user:") {
        Some(user) => UserId::new(user).map(identity).map_err(|error| error.to_string()),
        None => Err("no such token".to_owned()),
    });
    let server = TestServer::start(app).await;
    let (mut ann, mut bob) = two(&server).await;
    bob.identify("user:7").await;
    bob.identify("user:7").await;
    bob.identify("nonsense").await;
    bob.quiet().await;
    ann.emit_to("dm", json!(1), json!(["7"])).await;
    assert_eq!(bob.next_event().await, ("dm".into(), json!(1)));
    bob.identify("user:8").await;
    bob.quiet().await;
    ann.emit_to("dm", json!(2), json!(["7"])).await;
    ann.emit_to("dm", json!(3), json!(["8"])).await;
    assert_eq!(bob.next_event().await, ("dm".into(), json!(3)));
    bob.quiet().await;
    assert!(server.app.project(&ProjectId::new("p").unwrap()).is_user_online("8").await.unwrap());
    bob.emit("hi", json!({})).await;
    let payload = ann.next_event().await.1.to_string();
    assert!(!payload.contains("user") && !payload.contains('8') || !payload.contains("\"8\""), "{payload}");
}

#[tokio::test]
async fn an_expired_token_logs_the_user_out_and_the_connection_stays() {
    let app = app().with_verifier(async |_: String| {
        let expires = Some(std::time::SystemTime::now() + Duration::from_secs(2));
        UserId::new("7").map(|user| switchboard::Identity { user, expires, profile: None, rights: None })
    });
    let server = TestServer::start(app).await;
    let mut ann = join(&server, "projectId=p&authorization=t").await;
    let project = server.app.project(&ProjectId::new("p").unwrap());
    assert!(project.is_user_online("7").await.unwrap());
    until("the token expires", async || !project.is_user_online("7").await.unwrap()).await;
    ann.quiet().await;
}

#[tokio::test]
async fn emit_rooms_and_koji_shards_of_the_same_name_exchange_events() {
    let app = App::new()
        .with_koji(Koji::new())
        .on("/join", async |socket: Socket| socket.join("#lobby").map(Reply))
        .on("/send", async |request: Request| {
            request.to("#lobby").emit_payload("message", request.payload().clone()).map(|_| ())
        });
    let server = TestServer::start(app).await;
    let mut page = join(&server, "projectId=default&shardName=lobby").await;
    let mut in_other_project = join(&server, "projectId=other&shardName=lobby").await;
    let mut emit = server.peer().await;
    emit.request("/join", json!({})).await;
    page.emit("chat", json!({ "body": "hi" })).await;
    assert_eq!(emit.next_event().await, ("chat".into(), json!({ "body": "hi" })));
    page.next_event().await;
    emit.emit("/send", json!({ "text": "hello" })).await;
    let (name, payload) = page.next_event().await;
    assert_eq!((name.as_str(), without_metadata(payload.clone())), ("message", json!({ "text": "hello" })));
    assert!(payload["__clientId"].is_string());
    server.app.to("#lobby").emit("from the app", &json!({ "x": 1 })).unwrap();
    assert_eq!(emit.next_event().await, ("from the app".into(), json!({ "x": 1 })));
    let (_, payload) = page.next_event().await;
    assert_eq!(payload.get("__clientId"), None, "it has no sender");
    emit.quiet().await;
    in_other_project.quiet().await;
    assert_eq!(shards(&server, "default").await, json!([{ "shardName": "lobby", "numConnectedClients": 1 }]));
}

#[tokio::test]
async fn handlers_replace_the_relay_and_middleware_runs_before_it() {
    async fn relay_unless_spam(relay: Relay, Data(line): Data<Value>) {
        if line["body"] != "spam" {
            relay.send();
        }
    }
    async fn no_secrets(request: Request, next: Next) -> Response {
        if request.event() == "secret" { Response::none() } else { next.run(request).await }
    }
    let koji = Koji::new()
        .on("chat", relay_unless_spam)
        .on("whoami", async |socket: Socket| {
            let shard = socket.shard().map(ToString::to_string);
            let rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
            let _ = socket.emit("you", &json!([shard, rooms]));
        })
        .on("rename", async |socket: Socket| drop(socket.set_user_info(&json!({ "name": "by the app" }))))
        .middleware(no_secrets);
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let (mut ann, mut bob) = two(&server).await;
    for event in ["secret", "open"] {
        ann.emit(event, json!([1])).await;
    }
    assert_eq!(bob.next_event().await.0, "open");
    for body in ["spam", "ham"] {
        ann.emit("chat", json!({ "body": body })).await;
    }
    assert_eq!(bob.next_event().await.1["body"], "ham");
    bob.emit("whoami", json!({})).await;
    assert_eq!(bob.next_event().await, ("you".into(), json!(["s", ["#s"]])));
    bob.emit("rename", json!({})).await;
    let id = bob.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "by the app").await;
    let clients = server.app.project(&ProjectId::new("p").unwrap()).shard_clients("s").await.unwrap();
    assert_eq!(clients.len(), 2);
    assert_eq!(clients[1].user_info.to::<Value>().unwrap(), json!({ "name": "by the app" }));
}

#[tokio::test]
async fn koji_hooks_run_only_for_koji_sockets() {
    let (sender, mut calls) = tokio::sync::mpsc::channel(10);
    let record = move |hook: &'static str| {
        let sender = sender.clone();
        move |socket: Socket| {
            let sent = sender.try_send((hook, socket.shard().map(ToString::to_string)));
            async move { sent.unwrap() }
        }
    };
    let koji = Koji::new().on("@connection", record("connected")).on("@disconnect", record("disconnected"));
    let app = App::new().with_koji(koji).on("@connection", record("emit"));
    let server = TestServer::start(app).await;
    join(&server, "projectId=p&shardName=s").await.peer.close().await;
    for hook in ["connected", "disconnected"] {
        assert_eq!(soon("a hook is called", calls.recv()).await, Some((hook, Some("s".into()))));
    }
    server.peer().await;
    assert_eq!(soon("a hook is called", calls.recv()).await, Some(("emit", None)));
}

#[tokio::test]
async fn project_rules_are_enforced() {
    let rules = ProjectRules {
        connections_max: Some(2),
        capacity_max: 1,
        events: Some(vec!["chat_*".into()]),
        emit_needs_identity: true,
        message_units_max: 100,
        ..ProjectRules::default()
    };
    let app = App::new()
        .with_koji(Koji::new().with_rules(rules))
        .with_verifier(async |token: String| UserId::new(&token).map(identity));
    let server = TestServer::start(app).await;
    let mut ann = join(&server, "projectId=p&maxConnectionsPerShard=50").await;
    let mut bob = join(&server, "projectId=p&maxConnectionsPerShard=50&authorization=bob").await;
    assert_eq!(
        (ann.shard.as_str(), bob.shard.as_str()),
        ("shard-1", "shard-2"),
        "the project rules allow one seat per shard"
    );
    let mut third = Peer::connect(&server.url("/?projectId=p")).await;
    assert_eq!(third.closed().await, (1013, "the project has its most clients".into()));
    ann.emit_to("chat_line", json!("without identity"), json!(["bob"])).await;
    bob.emit_to("tap", json!(1), json!([ann.id])).await;
    bob.emit_to("chat_line", json!("x".repeat(100)), json!([ann.id])).await;
    bob.emit_to("chat_line", json!("hi"), json!([ann.id])).await;
    assert_eq!(ann.next_event().await, ("chat_line".into(), json!("hi")));
    ann.identify("ann").await;
    ann.emit_to("chat_line", json!("hello"), json!(["bob"])).await;
    assert_eq!(bob.next_event().await, ("chat_line".into(), json!("hello")));
    ann.peer.close().await;
    let expected = json!([{ "shardName": "shard-2", "numConnectedClients": 1 }]);
    until_shards_are(&server, "p", expected).await;
    join(&server, "projectId=p").await;
}

#[tokio::test]
async fn a_full_named_shard_overflows_if_the_project_rules_allow_it() {
    let server = with_rules(ProjectRules { named_overflow: true, ..ProjectRules::default() }).await;
    let query = "projectId=p&shardName=lobby&maxConnectionsPerShard=1";
    assert_eq!(join(&server, query).await.shard, "lobby");
    let first = join(&server, query).await;
    assert_eq!(join(&server, query).await.shard, if first.shard == "lobby" { "shard-1" } else { "shard-2" });
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_disconnected_and_removed_from_the_list() {
    let koji = Koji::new().with_ping_interval(Duration::from_secs(1));
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let mut raw = RawPeer::connect(server.address).await;
    raw.send(raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
    raw.read_head().await;
    let mut ann = join(&server, "projectId=p&shardName=s").await;
    let list = ann.list_of(2).await;
    assert!(list[&ann.id]["lastPing"].is_u64());
    // The raw client answers no pings, so the server removes it although its connection is open.
    ann.list_of(1).await;
    assert_eq!(raw.close_code().await, 1006);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seat_is_free_when_the_close_handshake_has_ended() {
    let server = start().await;
    for _ in 0..500 {
        let mut raw = RawPeer::connect(server.address).await;
        raw.send(raw::HANDSHAKE.replace("GET / ", "GET /?projectId=p&shardName=s ").as_bytes()).await;
        raw.read_head().await;
        raw.send(&raw::frame(0x88, &1000u16.to_be_bytes())).await;
        raw.read_to_end().await;
        // Browsers also wait for the end of the stream before a page can connect again.
        assert!(server.app.project(&ProjectId::new("p").unwrap()).shards().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn shutdown_closes_with_1012_so_that_clients_reconnect() {
    let mut server = start().await;
    let mut ann = join(&server, "projectId=p").await;
    server.begin_stop();
    assert_eq!(ann.peer.closed().await.0, 1012);
    drop(ann);
    server.stopped().await;
}

#[tokio::test]
async fn a_request_to_a_koji_client_fails_at_once() {
    let koji = Koji::new().on("request-me", async |socket: Socket| {
        let answer = socket.request::<Value>("question", &()).await;
        let _ = socket.emit("outcome", &answer.unwrap_err().to_string());
    });
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let mut ann = join(&server, "projectId=p").await;
    ann.emit("request-me", json!({})).await;
    assert_eq!(ann.next_event().await, ("outcome".into(), json!("a client of this protocol cannot reply")));
}

#[tokio::test]
async fn the_app_addresses_a_shard_as_the_room_of_its_name() {
    let server = start().await;
    let mut hash = join(&server, "projectId=p&shardName=%23s").await;
    let (mut ann, _bob) = two(&server).await;
    let app = server.app.project(&ProjectId::new("p").unwrap());
    let to = |shard: &str| app.to(Target::shard(&ShardName::new(shard).unwrap()));
    to("s").emit("for s", &json!([])).unwrap();
    to("#s").emit("for #s", &json!([])).unwrap();
    assert_eq!(ann.next_event().await.0, "for s");
    assert_eq!(hash.next_event().await.0, "for #s");
    assert_eq!(app.room_size("s").await.unwrap(), 2);
}
