//! Switchboard nodes beside original Mesa Dispatchers, servers and clients, on one Redis. They need the
//! npm packages of `tests/mesa`; `./test` installs them and runs these tests.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, Identity, Koji, Mesa, MesaSettings, Reply, Socket, Target, UserId};
use switchboard_backplane::InboxLimits;
use switchboard_redis::{MesaBridge, Options, Redis};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, TestServer};

use crate::node_js::Driven;
use crate::support::{options, run, until};

/// Takes `user:<id>` for a token of that user.
async fn verify(token: String) -> Result<Identity, String> {
    let user = token.strip_prefix("user:").ok_or("no such token")?;
    let user = UserId::new(user).map_err(|error| error.to_string())?;
    Ok(Identity { user, expires: None, profile: None })
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

    /// A client of the Mesa door that is logged in.
    async fn mesa(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&json!({ "op": 2, "d": { "token": format!("user:{user}") } })).await;
        assert_eq!(peer.next().await["op"], 22);
        peer
    }
}

fn said(kind: &str, data: Value) -> Value {
    json!({ "op": 0, "d": data, "t": kind })
}

/// Original Dispatchers, servers and clients.
struct Originals(Driven);

impl Originals {
    fn start(server: &RedisServer) -> Self {
        Originals(Driven::start("mesa", server))
    }

    async fn call(&mut self, what: &str, args: Value) -> Value {
        self.0.call(what, args).await
    }

    async fn dispatcher(&mut self, sync: bool) -> Value {
        self.call("dispatcher", json!([{ "namespace": "api", "sync": { "enabled": sync } }])).await
    }

    /// An original server's number, and where its clients connect.
    async fn server(&mut self) -> (Value, String) {
        let made = self.call("server", json!([{ "namespace": "api" }])).await;
        (made[0].clone(), format!("ws://127.0.0.1:{}", made[1]))
    }

    async fn client(&mut self, url: &str, user: &str) -> Value {
        let client = self.call("connect", json!([url])).await;
        let shown = self.call("authenticate", json!([client, { "token": format!("user:{user}") }])).await;
        assert_eq!(shown, json!({ "id": user }));
        client
    }

    /// Waits until a client has seen exactly this since it connected.
    async fn seen(&mut self, client: &Value, expected: Value) {
        until("it is seen", async || {
            let seen = self.call("seen", json!([client])).await;
            let count = |list: &Value| list.as_array().map_or(0, Vec::len);
            assert!(count(&seen) <= count(&expected), "{seen}");
            seen == expected
        })
        .await;
    }
}

/// Waits until these users, and no others, are connected, with so many connections.
async fn connected(server: &RedisServer, users: &[&str], count: &str) {
    until("these are connected", async || {
        let mut there: Vec<String> = run(server, &["SMEMBERS", "connected_clients_api"]).await;
        there.sort();
        let now: Option<String> = run(server, &["GET", "connected_clients_count_api"]).await;
        there == users && now.as_deref() == Some(count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn an_original_dispatcher_reaches_sockets_of_every_protocol() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut mesa, mut other) = (one.mesa("7").await, two.mesa("8").await);
    let mut unknown = Peer::connect(&two.server.url("/mesa")).await;
    assert_eq!(unknown.next().await["op"], 10);
    let mut emit = two.server.peer().await;
    emit.request("/login", json!("7")).await;
    let mut koji = KojiPeer::join(&two.server, "projectId=default&authorization=user%3A7").await;
    koji.next_list().await;
    let mut originals = Originals::start(&redis);
    let dispatcher = originals.dispatcher(false).await;

    let dispatch = async |originals: &mut Originals, kind: &str, to: Vec<Value>| {
        let message = json!({ "d": { "é": 1 }, "t": kind, "o": { "sync": false } });
        let args = [vec![dispatcher.clone(), message], to].concat();
        originals.call("dispatch", json!(args)).await;
    };
    dispatch(&mut originals, "USER", vec![json!(["7"])]).await;
    dispatch(&mut originals, "EXCEPT", vec![json!(["7", "8"]), json!(["7"])]).await;
    dispatch(&mut originals, "NOBODY", vec![json!(["9"])]).await;
    dispatch(&mut originals, "STAR", vec![json!(["*"]), json!(["7"])]).await;
    dispatch(&mut originals, "ALL", vec![]).await;
    dispatch(&mut originals, "TWICE", vec![json!(["7", "8", "7"])]).await;
    let data = json!({ "é": 1 });
    for (peer, kinds) in [
        (&mut mesa, &["USER", "STAR", "ALL", "TWICE"][..]),
        (&mut other, &["EXCEPT", "STAR", "ALL", "TWICE"]),
        (&mut unknown, &["STAR", "ALL"]),
    ] {
        for kind in kinds {
            assert_eq!(peer.next().await, said(kind, data.clone()));
        }
    }
    for kind in ["USER", "STAR", "ALL", "TWICE"] {
        assert_eq!(emit.next_event().await, (kind.into(), data.clone()));
        let (name, payload) = koji.next_event().await;
        assert_eq!((name.as_str(), &payload["é"]), (kind, &data["é"]));
    }
    for op in [7, 22] {
        let message = json!({ "op": op, "d": {} });
        originals.call("dispatch", json!([dispatcher, message, ["8"]])).await;
        assert_eq!(other.next().await, message);
    }

    originals.call("disconnect", json!([dispatcher, ["7"]])).await;
    for peer in [&mut mesa, &mut emit, &mut koji.peer] {
        assert_eq!(peer.closed().await.0, 1000);
    }
    originals.call("disconnect", json!([dispatcher])).await;
    for peer in [&mut other, &mut unknown] {
        assert_eq!(peer.closed().await.0, 1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn messages_of_a_dispatcher_arrive_in_their_order() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let mut peer = node.mesa("7").await;
    let mut originals = Originals::start(&redis);
    let dispatcher = originals.dispatcher(false).await;
    for n in 0..200 {
        originals.call("dispatch", json!([dispatcher, said("N", json!(n)), ["7"]])).await;
    }
    for n in 0..200 {
        assert_eq!(peer.next().await, said("N", json!(n)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_dispatcher_with_sync_publishes_to_those_who_are_here_and_stores_for_the_others() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut phone, mut laptop) = (one.mesa("7").await, two.mesa("7").await);
    connected(&redis, &["7"], "2").await;
    let mut originals = Originals::start(&redis);
    let dispatcher = originals.dispatcher(true).await;
    let dispatch = async |originals: &mut Originals, kind: &str| {
        originals.call("dispatch", json!([dispatcher, said(kind, json!({})), ["7", "8"]])).await;
    };
    dispatch(&mut originals, "BOTH").await;
    assert_eq!(phone.next().await, said("BOTH", json!({})));
    assert_eq!(laptop.next().await, said("BOTH", json!({})));
    let stored = async |user: &str| {
        let stored: Option<String> = run(&redis, &["HGET", "undelivered_messages_api", user]).await;
        stored.unwrap_or_default()
    };
    until("it is stored", async || stored("8").await == r#"[{"op":0,"d":{},"t":"BOTH"}]"#).await;
    let late = originals.client(&one.server.url("/mesa"), "8").await;
    originals.seen(&late, json!(["connected", [0, "BOTH", {}, 1]])).await;
    assert_eq!(stored("8").await, "", "it is taken out");
    // As by a Dispatcher that had looked before the login.
    let message = r#"[{"op":0,"d":{"n":1},"t":"LATE","o":{"sync":true}}]"#;
    let _: i64 = run(&redis, &["HSET", "undelivered_messages_api", "8", message]).await;
    originals.seen(&late, json!(["connected", [0, "BOTH", {}, 1], [0, "LATE", { "n": 1 }, 2]])).await;
    phone.close().await;
    connected(&redis, &["7", "8"], "2").await;
    dispatch(&mut originals, "ONE").await;
    assert_eq!(laptop.next().await, said("ONE", json!({})), "one of two devices is enough");
    // As with a killed process.
    drop((two.redis, laptop));
    connected(&redis, &["8"], "1").await;
    dispatch(&mut originals, "NONE").await;
    until("it is stored", async || stored("7").await.contains("NONE")).await;
    let unwilling = originals.call("connect", json!([one.server.url("/mesa")])).await;
    let args = json!([unwilling, { "token": "user:7" }, { "shouldSync": false }]);
    assert_eq!(originals.call("authenticate", args).await, json!({ "id": "7" }));
    until("it is dropped", async || stored("7").await.is_empty()).await;
    originals.call("dispatch", json!([dispatcher, said("LIVE", json!({})), ["7"]])).await;
    originals.seen(&unwilling, json!(["connected", [0, "LIVE", {}, null]])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn what_an_original_client_has_got_is_told_to_nobody_again() {
    let redis = RedisServer::start().await;
    // Told for longer than it takes to find a client dead that does not answer.
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
    let mut originals = Originals::start(&redis);
    let first = originals.client(&node.server.url("/mesa"), "7").await;
    let told = (1..=40).map(|n| json!([0, "N", n, n]));
    originals.seen(&first, [json!("connected")].into_iter().chain(told).collect()).await;
    until("nothing waits", async || {
        let keys: Vec<String> = run(&redis, &["KEYS", "switchboard:{default}:inbox*"]).await;
        keys == ["switchboard:{default}:inbox:last"]
    })
    .await;
    let second = originals.client(&node.server.url("/mesa"), "7").await;
    node.app().to(seven).dispatch("N", &41).await.unwrap();
    originals.seen(&second, json!(["connected", [0, "N", 41, null]])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn an_original_server_and_ours_are_one_to_their_users() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let (mut ours, mut far) = (one.mesa("1").await, two.mesa("2").await);
    let mut originals = Originals::start(&redis);
    let (server, url) = originals.server().await;
    let theirs = originals.client(&url, "3").await;
    let stranger = originals.call("connect", json!([url])).await;
    connected(&redis, &["1", "2", "3"], "4").await;
    let dispatcher = originals.dispatcher(true).await;
    originals.call("dispatch", json!([dispatcher, said("D", json!(1)), ["1", "2", "3"]])).await;
    for peer in [&mut ours, &mut far] {
        assert_eq!(peer.next().await, said("D", json!(1)));
    }
    originals.call("send", json!([server, said("S", json!(2)), ["1", "3"]])).await;
    originals.call("send", json!([server, said("ALL", json!(3))])).await;
    assert_eq!(ours.next().await, said("S", json!(2)));
    for peer in [&mut ours, &mut far] {
        assert_eq!(peer.next().await, said("ALL", json!(3)));
    }

    let app = one.app();
    app.to(Target::user("3").unwrap()).emit("U", &json!({ "n": 4 })).unwrap();
    app.to(Target::room("r").unwrap()).emit("ROOM", &()).unwrap();
    app.broadcast("B", "é").unwrap();
    assert_eq!(ours.next().await, said("B", json!("é")));
    assert_eq!(far.next().await, said("B", json!("é")));
    let [all, everyone] = [json!([0, "ALL", 3, null]), json!([0, "B", "é", null])];
    let [d, s, u] = [("D", json!(1)), ("S", json!(2)), ("U", json!({ "n": 4 }))]
        .map(|(kind, data)| json!([0, kind, data, null]));
    originals.seen(&theirs, json!(["connected", d, s, all, u, everyone])).await;
    originals.seen(&stranger, json!(["connected", all, everyone])).await;

    app.disconnect(Target::user("3").unwrap(), 4003, "banned").unwrap();
    until("it is closed", async || {
        originals.call("seen", json!([theirs])).await.as_array().unwrap().last() == Some(&json!(1000))
    })
    .await;
    connected(&redis, &["1", "2"], "3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn an_original_client_lives_on_our_server() {
    let redis = RedisServer::start().await;
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(400)),
        heartbeat_attempts_max: 2,
        reconnect_interval: Some(Duration::from_millis(150)),
        ..MesaSettings::default()
    };
    let echo = async |socket: Socket, Data(data): Data<Value>| socket.emit("PONG", &data);
    let node = OurNode::start_with(&redis, Mesa::new().with_settings(settings).on("PING", echo)).await;
    let mut originals = Originals::start(&redis);
    let client = originals.call("connect", json!([node.server.url("/mesa")])).await;
    until("hello is read", async || {
        let rules = originals.call("rules", json!([client])).await;
        rules == json!([["sends_user_object"], 400, 150])
    })
    .await;
    let token = |user: &str| json!([client, { "token": format!("user:{user}") }]);
    assert_eq!(originals.call("authenticate", token("7")).await, json!({ "id": "7" }));
    assert_eq!(originals.call("authenticate", token("8")).await, json!({ "id": "8" }), "and again");
    connected(&redis, &["8"], "1").await;
    originals.call("say", json!([client, said("PING", json!({ "n": 1 }))])).await;
    let pong = json!([0, "PONG", { "n": 1 }, null]);
    originals.seen(&client, json!(["connected", pong])).await;
    until("it answers heartbeats", async || {
        originals.call("beats", json!([client])).await.as_u64().is_some_and(|beats| beats >= 4)
    })
    .await;
    originals.seen(&client, json!(["connected", pong])).await;

    node.app().disconnect(Target::user("8").unwrap(), 1008, "again").unwrap();
    until("it is back", async || {
        let seen = originals.call("seen", json!([client])).await;
        seen.as_array().is_some_and(|seen| seen.len() == 4 && seen[3] == "connected")
    })
    .await;
    assert_eq!(originals.call("authenticate", token("9")).await, json!({ "id": "9" }));
    connected(&redis, &["9"], "1").await;
    originals.call("leave", json!([client, 1000])).await;
    until("it is back, as after every close", async || {
        run::<i64>(&redis, &["GET", "connected_clients_count_api"]).await == 1
            && run::<i64>(&redis, &["SCARD", "connected_clients_api"]).await == 0
    })
    .await;
}
