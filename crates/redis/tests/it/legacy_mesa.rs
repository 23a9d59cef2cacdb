//! Switchboard nodes and legacy Mesa Dispatchers, servers and clients on one Redis. The tests need the npm
//! packages of `tests/mesa`; `./test` installs them and runs these tests.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::protocols::MesaSettings;
use switchboard::{App, Data, Identity, Koji, Mesa, Reply, Socket, Target, UserId};
use switchboard_backplane::InboxLimits;
use switchboard_redis::{MesaBridge, Options, Redis};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, TestServer};

use crate::node_js::NodeScript;
use crate::support::{options, run, until};

/// Accepts tokens of the form `user:<id>`.
async fn verify(token: String) -> Result<Identity, String> {
    let user = token.strip_prefix("user:").ok_or("no such token")?;
    let user = UserId::new(user).map_err(|error| error.to_string())?;
    Ok(Identity::new(user))
}

/// A Switchboard node whose project is the namespace `api`.
struct OurNode {
    server: TestServer,
    redis: Redis,
}

impl OurNode {
    async fn start(server: &RedisServer) -> Self {
        OurNode::start_with(server, Mesa::new()).await
    }

    async fn start_with(server: &RedisServer, mesa: Mesa) -> Self {
        let bridge = MesaBridge { namespace: Some("api".into()), servers: true, ..MesaBridge::default() };
        let inbox = Some(InboxLimits::default());
        let options = Options { mesa: Some(bridge), inbox, ..options(server) };
        let redis = Redis::connect(options).await.expect("Redis answers");
        let app = App::new()
            .on("/login", async |socket: Socket, Data(user): Data<String>| socket.login(&user).map(Reply))
            .with_mesa(mesa)
            .with_koji(Koji::new())
            .with_verifier(verify)
            .with_backplane(&redis);
        OurNode { server: TestServer::start(app).await, redis }
    }

    fn app(&self) -> &App {
        &self.server.app
    }

    /// A Mesa client that is logged in.
    async fn mesa(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&json!({ "op": 2, "d": { "token": format!("user:{user}") } })).await;
        assert_eq!(peer.next().await["op"], 22);
        peer
    }
}

fn message(kind: &str, data: Value) -> Value {
    json!({ "op": 0, "d": data, "t": kind })
}

/// Legacy Dispatchers, servers and clients. Dropping it stops the process.
struct LegacyMesa(NodeScript);

impl LegacyMesa {
    fn start(server: &RedisServer) -> Self {
        LegacyMesa(NodeScript::start("mesa", server))
    }

    async fn call(&mut self, action: &str, args: Value) -> Value {
        self.0.call(action, args).await
    }

    async fn dispatcher(&mut self, sync: bool) -> Value {
        self.call("dispatcher", json!([{ "namespace": "api", "sync": { "enabled": sync } }])).await
    }

    /// Starts a legacy server, and returns its number and the URL for clients.
    async fn server(&mut self) -> (Value, String) {
        let made = self.call("server", json!([{ "namespace": "api" }])).await;
        (made[0].clone(), format!("ws://127.0.0.1:{}", made[1]))
    }

    async fn client(&mut self, url: &str, user: &str) -> Value {
        let client = self.call("connect", json!([url])).await;
        let reply = self.call("authenticate", json!([client, { "token": format!("user:{user}") }])).await;
        assert_eq!(reply, json!({ "id": user }));
        client
    }

    /// Waits until the log of a client since it connected equals `expected`.
    async fn until_log_is(&mut self, client: &Value, expected: Value) {
        until("the log has these entries", async || {
            let log = self.call("seen", json!([client])).await;
            let count = |list: &Value| list.as_array().map_or(0, Vec::len);
            assert!(count(&log) <= count(&expected), "{log}");
            log == expected
        })
        .await;
    }
}

/// Waits until exactly these users are in the legacy set, and the number of connections is `count`.
async fn until_users_are(server: &RedisServer, users: &[&str], count: &str) {
    until("these users are connected", async || {
        let mut users_now: Vec<String> = run(server, &["SMEMBERS", "connected_clients_api"]).await;
        users_now.sort();
        let now: Option<String> = run(server, &["GET", "connected_clients_count_api"]).await;
        users_now == users && now.as_deref() == Some(count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_legacy_dispatcher_reaches_sockets_of_every_protocol() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut mesa, mut other) = (one.mesa("7").await, two.mesa("8").await);
    let mut unknown = Peer::connect(&two.server.url("/mesa")).await;
    assert_eq!(unknown.next().await["op"], 10);
    let mut emit = two.server.peer().await;
    emit.request("/login", json!("7")).await;
    let mut koji = KojiPeer::join(&two.server, "projectId=default&authorization=user%3A7").await;
    koji.next_list().await;
    let mut legacy = LegacyMesa::start(&redis);
    let dispatcher = legacy.dispatcher(false).await;

    let dispatch = async |legacy: &mut LegacyMesa, kind: &str, to: Vec<Value>| {
        let message = json!({ "d": { "é": 1 }, "t": kind, "o": { "sync": false } });
        let args = [vec![dispatcher.clone(), message], to].concat();
        legacy.call("dispatch", json!(args)).await;
    };
    dispatch(&mut legacy, "USER", vec![json!(["7"])]).await;
    dispatch(&mut legacy, "EXCEPT", vec![json!(["7", "8"]), json!(["7"])]).await;
    dispatch(&mut legacy, "NOBODY", vec![json!(["9"])]).await;
    dispatch(&mut legacy, "STAR", vec![json!(["*"]), json!(["7"])]).await;
    dispatch(&mut legacy, "ALL", vec![]).await;
    dispatch(&mut legacy, "TWICE", vec![json!(["7", "8", "7"])]).await;
    let data = json!({ "é": 1 });
    for (peer, kinds) in [
        (&mut mesa, &["USER", "STAR", "ALL", "TWICE"][..]),
        (&mut other, &["EXCEPT", "STAR", "ALL", "TWICE"]),
        (&mut unknown, &["STAR", "ALL"]),
    ] {
        for kind in kinds {
            assert_eq!(peer.next().await, message(kind, data.clone()));
        }
    }
    for kind in ["USER", "STAR", "ALL", "TWICE"] {
        assert_eq!(emit.next_event().await, (kind.into(), data.clone()));
        let (name, payload) = koji.next_event().await;
        assert_eq!((name.as_str(), &payload["é"]), (kind, &data["é"]));
    }
    for op in [7, 22] {
        let message = json!({ "op": op, "d": {} });
        legacy.call("dispatch", json!([dispatcher, message, ["8"]])).await;
        assert_eq!(other.next().await, message);
    }

    legacy.call("disconnect", json!([dispatcher, ["7"]])).await;
    for peer in [&mut mesa, &mut emit, &mut koji.peer] {
        assert_eq!(peer.closed().await.0, 1000);
    }
    legacy.call("disconnect", json!([dispatcher])).await;
    for peer in [&mut other, &mut unknown] {
        assert_eq!(peer.closed().await.0, 1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn messages_of_a_dispatcher_keep_their_order() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let mut peer = node.mesa("7").await;
    let mut legacy = LegacyMesa::start(&redis);
    let dispatcher = legacy.dispatcher(false).await;
    for n in 0..200 {
        legacy.call("dispatch", json!([dispatcher, message("N", json!(n)), ["7"]])).await;
    }
    for n in 0..200 {
        assert_eq!(peer.next().await, message("N", json!(n)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_dispatcher_with_sync_publishes_to_online_users_and_stores_for_offline_users() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut phone, mut laptop) = (one.mesa("7").await, two.mesa("7").await);
    until_users_are(&redis, &["7"], "2").await;
    let mut legacy = LegacyMesa::start(&redis);
    let dispatcher = legacy.dispatcher(true).await;
    let dispatch = async |legacy: &mut LegacyMesa, kind: &str| {
        legacy.call("dispatch", json!([dispatcher, message(kind, json!({})), ["7", "8"]])).await;
    };
    dispatch(&mut legacy, "BOTH").await;
    assert_eq!(phone.next().await, message("BOTH", json!({})));
    assert_eq!(laptop.next().await, message("BOTH", json!({})));
    let stored = async |user: &str| {
        let stored: Option<String> = run(&redis, &["HGET", "undelivered_messages_api", user]).await;
        stored.unwrap_or_default()
    };
    until("the message is stored", async || stored("8").await == r#"[{"op":0,"d":{},"t":"BOTH"}]"#).await;
    let late = legacy.client(&one.server.url("/mesa"), "8").await;
    legacy.until_log_is(&late, json!(["connected", [0, "BOTH", {}, 1]])).await;
    assert_eq!(stored("8").await, "", "the messages are moved to the inbox");
    // Simulates a Dispatcher that checked the set before the login.
    let undelivered = r#"[{"op":0,"d":{"n":1},"t":"LATE","o":{"sync":true}}]"#;
    let _: i64 = run(&redis, &["HSET", "undelivered_messages_api", "8", undelivered]).await;
    legacy.until_log_is(&late, json!(["connected", [0, "BOTH", {}, 1], [0, "LATE", { "n": 1 }, 2]])).await;
    phone.close().await;
    until_users_are(&redis, &["7", "8"], "2").await;
    dispatch(&mut legacy, "ONE").await;
    assert_eq!(laptop.next().await, message("ONE", json!({})), "one of two devices is still online");
    // Simulates a crash.
    drop((two.redis, laptop));
    until_users_are(&redis, &["8"], "1").await;
    dispatch(&mut legacy, "NONE").await;
    until("the message is stored", async || stored("7").await.contains("NONE")).await;
    let without_sync = legacy.call("connect", json!([one.server.url("/mesa")])).await;
    let args = json!([without_sync, { "token": "user:7" }, { "shouldSync": false }]);
    assert_eq!(legacy.call("authenticate", args).await, json!({ "id": "7" }));
    until("the message is deleted", async || stored("7").await.is_empty()).await;
    legacy.call("dispatch", json!([dispatcher, message("LIVE", json!({})), ["7"]])).await;
    legacy.until_log_is(&without_sync, json!(["connected", [0, "LIVE", {}, null]])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_message_that_a_legacy_client_acknowledged_is_not_redelivered() {
    let redis = RedisServer::start().await;
    // The redelivery takes longer than the timeout for missing heartbeats.
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(100)),
        heartbeat_attempts_max: 1,
        redelivery_interval: Duration::from_millis(25),
        ..MesaSettings::default()
    };
    let node = OurNode::start_with(&redis, Mesa::new().with_settings(settings)).await;
    let seven = Target::user("7").unwrap();
    for n in 1..=40 {
        assert_eq!(node.app().to(seven.clone()).dispatch("N", &n).await.unwrap().inboxes, 1);
    }
    let mut legacy = LegacyMesa::start(&redis);
    let first = legacy.client(&node.server.url("/mesa"), "7").await;
    let redelivered = (1..=40).map(|n| json!([0, "N", n, n]));
    legacy.until_log_is(&first, [json!("connected")].into_iter().chain(redelivered).collect()).await;
    until("the inbox is empty", async || {
        let keys: Vec<String> = run(&redis, &["KEYS", "switchboard:{default}:inbox*"]).await;
        keys == ["switchboard:{default}:inbox:last"]
    })
    .await;
    let second = legacy.client(&node.server.url("/mesa"), "7").await;
    node.app().to(seven).dispatch("N", &41).await.unwrap();
    legacy.until_log_is(&second, json!(["connected", [0, "N", 41, null]])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_legacy_server_and_ours_serve_the_same_users() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut ours, mut far) = (one.mesa("1").await, two.mesa("2").await);
    let mut legacy = LegacyMesa::start(&redis);
    let (server, url) = legacy.server().await;
    let legacy_client = legacy.client(&url, "3").await;
    let anonymous = legacy.call("connect", json!([url])).await;
    until_users_are(&redis, &["1", "2", "3"], "4").await;
    let dispatcher = legacy.dispatcher(true).await;
    legacy.call("dispatch", json!([dispatcher, message("D", json!(1)), ["1", "2", "3"]])).await;
    for peer in [&mut ours, &mut far] {
        assert_eq!(peer.next().await, message("D", json!(1)));
    }
    legacy.call("send", json!([server, message("S", json!(2)), ["1", "3"]])).await;
    legacy.call("send", json!([server, message("ALL", json!(3))])).await;
    assert_eq!(ours.next().await, message("S", json!(2)));
    for peer in [&mut ours, &mut far] {
        assert_eq!(peer.next().await, message("ALL", json!(3)));
    }

    let app = one.app();
    app.to(Target::user("3").unwrap()).emit("U", &json!({ "n": 4 })).unwrap();
    app.to(Target::room("r").unwrap()).emit("ROOM", &()).unwrap();
    app.broadcast("B", "é").unwrap();
    assert_eq!(ours.next().await, message("B", json!("é")));
    assert_eq!(far.next().await, message("B", json!("é")));
    let [all, everyone] = [json!([0, "ALL", 3, null]), json!([0, "B", "é", null])];
    let [d, s, u] = [("D", json!(1)), ("S", json!(2)), ("U", json!({ "n": 4 }))]
        .map(|(kind, data)| json!([0, kind, data, null]));
    legacy.until_log_is(&legacy_client, json!(["connected", d, s, all, u, everyone])).await;
    legacy.until_log_is(&anonymous, json!(["connected", all, everyone])).await;

    app.disconnect(Target::user("3").unwrap(), 4003, "banned").unwrap();
    until("the client is closed", async || {
        legacy.call("seen", json!([legacy_client])).await.as_array().unwrap().last() == Some(&json!(1000))
    })
    .await;
    until_users_are(&redis, &["1", "2"], "3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_legacy_client_works_with_our_server() {
    let redis = RedisServer::start().await;
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(400)),
        heartbeat_attempts_max: 2,
        reconnect_interval: Some(Duration::from_millis(150)),
        ..MesaSettings::default()
    };
    let echo = async |socket: Socket, Data(data): Data<Value>| socket.emit("PONG", &data);
    let node = OurNode::start_with(&redis, Mesa::new().with_settings(settings).on("PING", echo)).await;
    let mut legacy = LegacyMesa::start(&redis);
    let client = legacy.call("connect", json!([node.server.url("/mesa")])).await;
    until("the hello message is read", async || {
        let rules = legacy.call("rules", json!([client])).await;
        rules == json!([["sends_user_object"], 400, 150])
    })
    .await;
    let token = |user: &str| json!([client, { "token": format!("user:{user}") }]);
    assert_eq!(legacy.call("authenticate", token("7")).await, json!({ "id": "7" }));
    assert_eq!(legacy.call("authenticate", token("8")).await, json!({ "id": "8" }), "a second login");
    until_users_are(&redis, &["8"], "1").await;
    legacy.call("clientSend", json!([client, message("PING", json!({ "n": 1 }))])).await;
    let pong = json!([0, "PONG", { "n": 1 }, null]);
    legacy.until_log_is(&client, json!(["connected", pong])).await;
    until("the client answers heartbeats", async || {
        legacy.call("beats", json!([client])).await.as_u64().is_some_and(|beats| beats >= 4)
    })
    .await;
    legacy.until_log_is(&client, json!(["connected", pong])).await;

    node.app().disconnect(Target::user("8").unwrap(), 1008, "again").unwrap();
    until("the client is connected again", async || {
        let seen = legacy.call("seen", json!([client])).await;
        seen.as_array().is_some_and(|seen| seen.len() == 4 && seen[3] == "connected")
    })
    .await;
    assert_eq!(legacy.call("authenticate", token("9")).await, json!({ "id": "9" }));
    until_users_are(&redis, &["9"], "1").await;
    legacy.call("leave", json!([client, 1000])).await;
    until("the client is connected again, as after every close", async || {
        run::<i64>(&redis, &["GET", "connected_clients_count_api"]).await == 1
            && run::<i64>(&redis, &["SCARD", "connected_clients_api"]).await == 0
    })
    .await;
}
