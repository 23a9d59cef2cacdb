//! Switchboard nodes beside an emit.gg node in Node.js, on one Redis. They need the npm packages of
//! `tests/emit`; `./test` installs them and runs these tests.

use serde_json::{Value, json};
use switchboard::{App, Reply, ReplyError, Socket, SocketId, Target};
use switchboard_redis::{EmitBridge, Options, Redis};
use switchboard_testkit::{Peer, RedisServer, TestServer};

use crate::node_js::Driven;
use crate::support::{options, until};

/// An emit.gg node; it ends with the test.
struct Original(Driven);

impl Original {
    fn start(server: &RedisServer) -> Self {
        Original(Driven::start("emit", server))
    }

    /// Calls something of the node, with the arguments in a list.
    async fn call(&mut self, what: &str, args: Value) -> Value {
        self.0.call(what, args).await
    }

    async fn connect(&mut self) -> String {
        self.call("connect", json!([])).await.as_str().expect("an id is text").into()
    }

    /// Waits until a socket has heard exactly this.
    async fn heard(&mut self, id: &str, expected: Value) {
        until("it is heard", async || {
            let heard = self.call("socket.heard", json!([id])).await;
            let count = |list: &Value| list.as_array().map_or(0, Vec::len);
            assert!(count(&heard) <= count(&expected), "{heard}");
            heard == expected
        })
        .await;
    }
}

/// A Switchboard node whose clients join, tag and log in as they say.
struct OurNode {
    server: TestServer,
    redis: Redis,
}

impl OurNode {
    async fn start(server: &RedisServer) -> Self {
        let options = Options { emit: Some(EmitBridge::default()), ..options(server) };
        let redis = Redis::connect(options).await.expect("Redis answers");
        let app = App::new().on("/enter", enter).with_backplane(&redis);
        OurNode { server: TestServer::start(app).await, redis }
    }

    fn app(&self) -> &App {
        &self.server.app
    }

    /// A client in the room `#chat`, with the tag `*vip`, and its id.
    async fn client(&self) -> (Peer, SocketId) {
        let mut peer = self.server.peer().await;
        let id = peer.request("/enter", json!({})).await;
        (peer, serde_json::from_value(id).expect("it is an id"))
    }
}

async fn enter(socket: Socket) -> Result<Reply<SocketId>, ReplyError> {
    socket.join("#chat")?;
    socket.tag("*vip")?;
    Ok(Reply(socket.id()))
}

fn event(name: &str, data: Value) -> Value {
    json!({ "event": name, "data": data })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn messages_go_both_ways_and_arrive_once() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let ((mut a, id_a), (mut b, id_b)) = (one.client().await, two.client().await);
    let mut original = Original::start(&redis);
    let theirs = original.connect().await;
    let outside = original.connect().await;
    original.call("socket.join", json!([theirs, "#chat"])).await;
    original.call("socket.tag", json!([theirs, "*vip"])).await;
    for node in [&one, &two] {
        node.app().hub().bus().settled().await;
    }

    original.call("broadcast", json!(["all", { "data": { "n": 1 } }])).await;
    original.call("broadcast", json!(["room", { "data": "é", "to": "#chat" }])).await;
    original.call("broadcast", json!(["vip", { "data": null, "to": "*vip" }])).await;
    original.call("broadcast", json!(["here", { "local": true }])).await;
    original.call("emitTo", json!([id_a.to_string(), "direct", [1]])).await;
    original.call("emitTo", json!([id_b.to_string(), "direct", [2]])).await;
    for (peer, number) in [(&mut a, 1), (&mut b, 2)] {
        let broadcasts = [("all", json!({ "n": 1 })), ("room", json!("é")), ("vip", json!(null))];
        for (name, data) in broadcasts.into_iter().chain([("direct", json!([number]))]) {
            assert_eq!(peer.next().await, event(name, data));
        }
    }
    let mut heard = vec![event("all", json!({ "n": 1 }))];
    let mut heard_outside = heard.clone();
    heard.extend([event("room", json!("é")), event("vip", json!(null)), event("here", json!({}))]);
    original.heard(&theirs, json!(heard)).await;

    let app = one.app();
    app.broadcast("all", &json!({ "n": 2 })).unwrap();
    app.to("#chat").emit("room", "ü").unwrap();
    app.to(Target::Everyone).local().emit("ours", &()).unwrap();
    heard.extend([event("all", json!({ "n": 2 })), event("room", json!("ü"))]);
    original.heard(&theirs, json!(heard)).await;
    two.app().to("*vip").emit("vip", &()).unwrap();
    two.app().emit_to(theirs.parse().unwrap(), "direct", &[3]).unwrap();
    heard.extend([event("vip", json!(null)), event("direct", json!([3]))]);
    original.heard(&theirs, json!(heard)).await;
    heard_outside.extend([event("here", json!({})), event("all", json!({ "n": 2 }))]);
    original.heard(&outside, json!(heard_outside)).await;
    for (peer, names) in [(&mut a, &["all", "room", "ours", "vip"][..]), (&mut b, &["all", "room", "vip"])] {
        for name in names {
            assert_eq!(peer.next().await["event"], *name);
        }
        peer.request("/enter", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn both_see_everybody() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let (_peer, ours) = node.client().await;
    let mut original = Original::start(&redis);
    let theirs = original.connect().await;
    original.call("socket.join", json!([theirs, "#chat"])).await;
    original.call("syncTag", json!([theirs, "*vip"])).await;
    let app = node.app();
    let mut ids = vec![ours, theirs.parse().unwrap()];
    ids.sort();
    assert_eq!(app.room_size("#chat").await.unwrap(), 2);
    assert_eq!(app.room_members("#chat").await.unwrap(), ids);
    assert_eq!(app.tag_count("*vip").await.unwrap(), 2);
    assert_eq!(app.tagged_sockets("*vip").await.unwrap(), ids);
    assert_eq!(app.total_sockets().await.unwrap(), 2);
    assert_eq!(app.all_socket_ids().await.unwrap(), ids);
    assert!(app.socket_exists(theirs.parse().unwrap()).await.unwrap());

    let texts: Vec<String> = ids.iter().map(SocketId::to_string).collect();
    for (call, args) in [
        ("getRoomMembers", json!(["#chat"])),
        ("getTaggedSockets", json!(["*vip"])),
        ("getAllSocketIds", json!([])),
    ] {
        let mut list: Vec<String> = serde_json::from_value(original.call(call, args).await).unwrap();
        list.sort();
        assert_eq!(list, texts, "{call}");
    }
    for (call, args) in
        [("getRoomSize", json!(["#chat"])), ("getTagCount", json!(["*vip"])), ("getTotalSockets", json!([]))]
    {
        assert_eq!(original.call(call, args).await, 2, "{call}");
    }
    assert_eq!(original.call("socketExists", json!([ours.to_string()])).await, true);

    original.call("socket.disconnect", json!([theirs])).await;
    assert_eq!(app.total_sockets().await.unwrap(), 1);
    assert_eq!(app.room_size("#chat").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn users_are_found_from_both_sides() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let (mut peer, ours) = node.client().await;
    let app = node.app();
    let mut original = Original::start(&redis);
    let theirs = original.connect().await;
    app.set_user_online("ann", ours).await.unwrap();
    original.call("setUserOnline", json!(["bob", theirs])).await;
    assert_eq!(app.online_users().await.unwrap(), ["ann", "bob"]);
    assert_eq!(app.online_user_count().await.unwrap(), 2);
    assert!(app.is_user_online("bob").await.unwrap());
    assert_eq!(app.user_socket_id("bob").await.unwrap().unwrap().to_string(), theirs);
    assert_eq!(original.call("getOnlineUserCount", json!([])).await, 2);
    assert_eq!(original.call("isUserOnline", json!(["ann"])).await, true);
    assert_eq!(original.call("getUserSocketId", json!(["ann"])).await, ours.to_string());

    original.call("emitToUser", json!(["ann", "dm", { "from": "bob" }])).await;
    assert_eq!(peer.next().await, event("dm", json!({ "from": "bob" })));
    app.emit_to_user("bob", "dm", &json!({ "from": "ann" })).unwrap();
    original.heard(&theirs, json!([event("dm", json!({ "from": "ann" }))])).await;

    app.set_user_offline("ann").await.unwrap();
    assert_eq!(app.online_users().await.unwrap(), ["bob"]);
    assert_eq!(original.call("isUserOnline", json!(["ann"])).await, false);
    original.call("setUserOffline", json!(["bob"])).await;
    assert_eq!(app.online_user_count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn an_original_node_sees_a_dead_one_of_ours_go() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let ((_a, kept), (_b, lost)) = (one.client().await, two.client().await);
    two.app().set_user_online("bob", lost).await.unwrap();
    assert_eq!(two.app().room_size("#chat").await.unwrap(), 2);
    assert_eq!(one.app().room_size("#chat").await.unwrap(), 2);
    let mut original = Original::start(&redis);
    assert_eq!(original.call("isUserOnline", json!(["bob"])).await, true);
    // Its connections to Redis end without a word, as with the process.
    drop(two.redis);
    let kept = json!([kept.to_string()]);
    until("it is gone", async || original.call("getAllSocketIds", json!([])).await == kept).await;
    until("it left", async || original.call("getRoomMembers", json!(["#chat"])).await == kept).await;
    until("its tag is gone", async || original.call("getTaggedSockets", json!(["*vip"])).await == kept).await;
    until("its user is gone", async || original.call("isUserOnline", json!(["bob"])).await == false).await;
}
