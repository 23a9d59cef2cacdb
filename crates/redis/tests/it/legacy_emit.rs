//! Switchboard nodes and a legacy emit.gg node in Node.js on one Redis. The tests need the npm packages of
//! `tests/emit`; `./test` installs them and runs these tests.

use serde_json::{Value, json};
use switchboard::{App, Reply, ReplyError, Socket, SocketId, Target};
use switchboard_redis::{EmitBridge, Options, Redis};
use switchboard_testkit::{Peer, RedisServer, TestServer};

use crate::node_js::NodeScript;
use crate::support::{options, until};

/// A legacy emit.gg node. Dropping it stops the process.
struct LegacyNode(NodeScript);

impl LegacyNode {
    fn start(server: &RedisServer) -> Self {
        LegacyNode(NodeScript::start("emit", server))
    }

    /// Calls a method of the node with a list of arguments.
    async fn call(&mut self, method: &str, args: Value) -> Value {
        self.0.call(method, args).await
    }

    async fn connect(&mut self) -> String {
        self.call("connect", json!([])).await.as_str().expect("an id is text").into()
    }

    /// Waits until a socket has received exactly these events.
    async fn until_received(&mut self, id: &str, expected: Value) {
        until("the events arrive", async || {
            let received = self.call("socket.received", json!([id])).await;
            let count = |list: &Value| list.as_array().map_or(0, Vec::len);
            assert!(count(&received) <= count(&expected), "{received}");
            received == expected
        })
        .await;
    }
}

/// A Switchboard node with the legacy bridge.
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

    /// A client in the room `#chat` with the tag `*vip`, and its id.
    async fn client(&self) -> (Peer, SocketId) {
        let mut peer = self.server.peer().await;
        let id = peer.request("/enter", json!({})).await;
        (peer, serde_json::from_value(id).expect("the reply is an id"))
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
async fn events_are_exchanged_in_both_directions_and_arrive_once() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let ((mut a, id_a), (mut b, id_b)) = (one.client().await, two.client().await);
    let mut legacy_node = LegacyNode::start(&redis);
    let legacy_id = legacy_node.connect().await;
    let outside = legacy_node.connect().await;
    legacy_node.call("socket.join", json!([legacy_id, "#chat"])).await;
    legacy_node.call("socket.tag", json!([legacy_id, "*vip"])).await;
    for node in [&one, &two] {
        node.app().hub().bus().settled().await;
    }

    legacy_node.call("broadcast", json!(["all", { "data": { "n": 1 } }])).await;
    legacy_node.call("broadcast", json!(["room", { "data": "é", "to": "#chat" }])).await;
    legacy_node.call("broadcast", json!(["vip", { "data": null, "to": "*vip" }])).await;
    legacy_node.call("broadcast", json!(["local", { "local": true }])).await;
    legacy_node.call("emitTo", json!([id_a.to_string(), "direct", [1]])).await;
    legacy_node.call("emitTo", json!([id_b.to_string(), "direct", [2]])).await;
    for (peer, number) in [(&mut a, 1), (&mut b, 2)] {
        let broadcasts = [("all", json!({ "n": 1 })), ("room", json!("é")), ("vip", json!(null))];
        for (name, data) in broadcasts.into_iter().chain([("direct", json!([number]))]) {
            assert_eq!(peer.next().await, event(name, data));
        }
    }
    let mut received = vec![event("all", json!({ "n": 1 }))];
    let mut received_outside = received.clone();
    received.extend([event("room", json!("é")), event("vip", json!(null)), event("local", json!({}))]);
    legacy_node.until_received(&legacy_id, json!(received)).await;

    let app = one.app();
    app.broadcast("all", &json!({ "n": 2 })).unwrap();
    app.to("#chat").emit("room", "ü").unwrap();
    app.to(Target::Everyone).local().emit("our-local", &()).unwrap();
    received.extend([event("all", json!({ "n": 2 })), event("room", json!("ü"))]);
    legacy_node.until_received(&legacy_id, json!(received)).await;
    // The events of the first node must have arrived before the second node sends, which may be faster.
    for (peer, names) in [(&mut a, &["all", "room", "our-local"][..]), (&mut b, &["all", "room"])] {
        for name in names {
            assert_eq!(peer.next().await["event"], *name);
        }
    }
    two.app().to("*vip").emit("vip", &()).unwrap();
    two.app().emit_to(legacy_id.parse().unwrap(), "direct", &[3]).unwrap();
    received.extend([event("vip", json!(null)), event("direct", json!([3]))]);
    legacy_node.until_received(&legacy_id, json!(received)).await;
    received_outside.extend([event("local", json!({})), event("all", json!({ "n": 2 }))]);
    legacy_node.until_received(&outside, json!(received_outside)).await;
    for peer in [&mut a, &mut b] {
        assert_eq!(peer.next().await["event"], "vip");
        peer.request("/enter", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn both_implementations_list_all_sockets() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let (_peer, our_id) = node.client().await;
    let mut legacy_node = LegacyNode::start(&redis);
    let legacy_id = legacy_node.connect().await;
    legacy_node.call("socket.join", json!([legacy_id, "#chat"])).await;
    legacy_node.call("syncTag", json!([legacy_id, "*vip"])).await;
    let app = node.app();
    let mut ids = vec![our_id, legacy_id.parse().unwrap()];
    ids.sort();
    assert_eq!(app.room_size("#chat").await.unwrap(), 2);
    assert_eq!(app.room_members("#chat").await.unwrap(), ids);
    assert_eq!(app.tag_count("*vip").await.unwrap(), 2);
    assert_eq!(app.tagged_sockets("*vip").await.unwrap(), ids);
    assert_eq!(app.total_sockets().await.unwrap(), 2);
    assert_eq!(app.all_socket_ids().await.unwrap(), ids);
    assert!(app.socket_exists(legacy_id.parse().unwrap()).await.unwrap());

    let texts: Vec<String> = ids.iter().map(SocketId::to_string).collect();
    for (call, args) in [
        ("getRoomMembers", json!(["#chat"])),
        ("getTaggedSockets", json!(["*vip"])),
        ("getAllSocketIds", json!([])),
    ] {
        let mut list: Vec<String> = serde_json::from_value(legacy_node.call(call, args).await).unwrap();
        list.sort();
        assert_eq!(list, texts, "{call}");
    }
    for (call, args) in
        [("getRoomSize", json!(["#chat"])), ("getTagCount", json!(["*vip"])), ("getTotalSockets", json!([]))]
    {
        assert_eq!(legacy_node.call(call, args).await, 2, "{call}");
    }
    assert_eq!(legacy_node.call("socketExists", json!([our_id.to_string()])).await, true);

    legacy_node.call("socket.disconnect", json!([legacy_id])).await;
    assert_eq!(app.total_sockets().await.unwrap(), 1);
    assert_eq!(app.room_size("#chat").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn both_implementations_find_all_users() {
    let redis = RedisServer::start().await;
    let node = OurNode::start(&redis).await;
    let (mut peer, our_id) = node.client().await;
    let app = node.app();
    let mut legacy_node = LegacyNode::start(&redis);
    let legacy_id = legacy_node.connect().await;
    app.set_user_online("ann", our_id).await.unwrap();
    legacy_node.call("setUserOnline", json!(["bob", legacy_id])).await;
    assert_eq!(app.online_users().await.unwrap(), ["ann", "bob"]);
    assert_eq!(app.online_user_count().await.unwrap(), 2);
    assert!(app.is_user_online("bob").await.unwrap());
    assert_eq!(app.user_socket_id("bob").await.unwrap().unwrap().to_string(), legacy_id);
    assert_eq!(legacy_node.call("getOnlineUserCount", json!([])).await, 2);
    assert_eq!(legacy_node.call("isUserOnline", json!(["ann"])).await, true);
    assert_eq!(legacy_node.call("getUserSocketId", json!(["ann"])).await, our_id.to_string());

    legacy_node.call("emitToUser", json!(["ann", "dm", { "from": "bob" }])).await;
    assert_eq!(peer.next().await, event("dm", json!({ "from": "bob" })));
    app.emit_to_user("bob", "dm", &json!({ "from": "ann" })).unwrap();
    legacy_node.until_received(&legacy_id, json!([event("dm", json!({ "from": "ann" }))])).await;

    app.set_user_offline("ann").await.unwrap();
    assert_eq!(app.online_users().await.unwrap(), ["bob"]);
    assert_eq!(legacy_node.call("isUserOnline", json!(["ann"])).await, false);
    legacy_node.call("setUserOffline", json!(["bob"])).await;
    assert_eq!(app.online_user_count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_legacy_node_no_longer_sees_the_sockets_of_a_dead_node_of_ours() {
    let redis = RedisServer::start().await;
    let (one, two) = (OurNode::start(&redis).await, OurNode::start(&redis).await);
    let ((_a, kept), (_b, lost)) = (one.client().await, two.client().await);
    two.app().set_user_online("bob", lost).await.unwrap();
    assert_eq!(two.app().room_size("#chat").await.unwrap(), 2);
    assert_eq!(one.app().room_size("#chat").await.unwrap(), 2);
    let mut legacy_node = LegacyNode::start(&redis);
    assert_eq!(legacy_node.call("isUserOnline", json!(["bob"])).await, true);
    // Simulates a crash: the connections to Redis are dropped.
    drop(two.redis);
    let kept = json!([kept.to_string()]);
    until("the socket is removed", async || legacy_node.call("getAllSocketIds", json!([])).await == kept)
        .await;
    until("the room member is removed", async || {
        legacy_node.call("getRoomMembers", json!(["#chat"])).await == kept
    })
    .await;
    until("the tag is removed", async || legacy_node.call("getTaggedSockets", json!(["*vip"])).await == kept)
        .await;
    until("the user is offline", async || legacy_node.call("isUserOnline", json!(["bob"])).await == false)
        .await;
}
