//! Two complete apps that share a Redis, tested by clients over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, JoinError, Koji, MembershipError, ProjectId, RequestError, SocketId, Target};
use switchboard_redis::{EmitBridge, Options, Redis};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, TestServer};

use crate::channels::publish;
use crate::support::{options, until};

/// A served app and its connection. Dropping `redis` simulates a crash of the node.
struct AppNode {
    server: TestServer,
    redis: Redis,
}

async fn start(redis: &RedisServer) -> AppNode {
    start_with(options(redis)).await
}

async fn start_with(options: Options) -> AppNode {
    let redis = Redis::connect(options).await.expect("Redis answers");
    let app = App::new().with_koji(Koji::new()).with_backplane(&redis);
    AppNode { server: TestServer::start(app).await, redis }
}

async fn two() -> (RedisServer, AppNode, AppNode) {
    let redis = RedisServer::start().await;
    let (one, two) = (start(&redis).await, start(&redis).await);
    (redis, one, two)
}

async fn join(node: &AppNode) -> KojiPeer {
    KojiPeer::join(&node.server, "projectId=p&shardName=s").await
}

fn in_p(node: &AppNode) -> App {
    node.server.app.project(&ProjectId::new("p").expect("a short name"))
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_object().expect("a list is an object").keys().map(String::as_str).collect()
}

/// A new peer of a node and its id. All nodes know the socket.
async fn peer(node: &AppNode) -> (Peer, SocketId) {
    let mut peer = node.server.peer().await;
    peer.quiet().await;
    let mut sessions = node.server.app.hub().index().all_sessions();
    node.server.app.settled().await;
    (peer, sessions.pop().expect("the node has one socket").id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_lists_contain_the_clients_of_all_nodes_in_the_same_order() {
    let (_redis, one, two) = two().await;
    let mut ann = join(&one).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let mut bob = join(&two).await;
    let first = bob.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    assert_eq!(ids(&first), [&ann.id, &bob.id], "in the order of connection");
    assert_eq!(ids(&ann.list_of(2).await), ids(&first));
    let query = "projectId=p&shardName=s&connectedClients=changes";
    let mut watcher = KojiPeer::join(&one.server, query).await;
    watcher.list_of(3).await;
    bob.set_user_info(json!({ "name": "Bob" })).await;
    let changed = loop {
        let frame = watcher.next().await;
        if frame["payload"]["updated"].get(&bob.id).is_some() {
            break frame;
        }
    };
    assert_eq!(changed["payload"]["updated"][&bob.id]["userInfo"], json!({ "name": "Bob" }));
    for node in [&one, &two] {
        let app = in_p(node);
        let clients = app.shard_clients("s").await.unwrap();
        let seen: Vec<_> = clients.iter().map(|client| client.client_id.to_string()).collect();
        assert_eq!(seen, [&*ann.id, &*bob.id, &*watcher.id]);
        assert_eq!(app.shards().await.unwrap()[0].seated, 3);
    }
    let bob_id = bob.id.clone();
    bob.peer.close().await;
    assert_eq!(ann.list_where(|list| list.get(&bob_id).is_none()).await.as_object().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_legacy_node_cannot_claim_a_koji_client_as_its_sender() {
    let redis = RedisServer::start().await;
    let bridge = || EmitBridge { project: ProjectId::new("p").expect("a short name"), ..Default::default() };
    let bridged = || Options { emit: Some(bridge()), ..options(&redis) };
    let (one, two) = (start_with(bridged()).await, start_with(bridged()).await);
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    one.server.app.settled().await;
    two.server.app.settled().await;
    for forged in [
        format!(r#"{{"\ud800":0,"__clientId":"{}","__timestamp":1}}"#, ann.id),
        format!(r#"{{"\u005f_clientId":"{}","\udc00":"\ud800"}}"#, ann.id),
    ] {
        let message = format!(r##"{{"_instance":"vnztps84","event":"chat","data":{forged},"to":"#s"}}"##);
        assert_eq!(publish(&redis, "emit.gg", &message).await, 2);
        for peer in [&mut ann, &mut bob] {
            let (name, payload) = peer.next_event().await;
            assert_eq!((&*name, payload.get("__clientId")), ("chat", None), "{payload}");
            assert!(payload["__timestamp"].as_u64().unwrap() > 1);
        }
    }
    let platform = r##"{"_instance":"a","event":"@@KOJI_DISPATCH/CONNECTED","data":{},"to":"#s"}"##;
    publish(&redis, "emit.gg", platform).await;
    publish(&redis, "emit.gg", r##"{"_instance":"a","event":"end","data":[],"to":"#s"}"##).await;
    for peer in [&mut ann, &mut bob] {
        // The next frame that is no member list; events of the platform would not be skipped here.
        let name = loop {
            let name = peer.next().await["eventName"].take();
            if name != "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED" {
                break name;
            }
        };
        assert_eq!(name, "end");
    }
}

/// The number of script calls so far.
async fn scripts_run(redis: &RedisServer) -> u64 {
    let info = redis.ask_text("INFO commandstats").await;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|line| line.split(',').next()?.parse().ok()).expect("a number of calls")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_koji_connect_takes_one_script_and_a_disconnect_two() {
    let redis = RedisServer::start().await;
    // With this lease no renewal happens during the test.
    let without_renewals = || Options { lease: Duration::from_secs(60), ..options(&redis) };
    let (one, two) = (start_with(without_renewals()).await, start_with(without_renewals()).await);
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    let before = scripts_run(&redis).await;
    let mut carl = join(&one).await;
    // The other node knows the client. Its query returns after all earlier changes are written.
    bob.list_of(3).await;
    carl.list_of(3).await;
    assert_eq!(in_p(&one).shards().await.unwrap()[0].seated, 3);
    let everyone = in_p(&one).all_socket_ids().await.unwrap().len();
    assert_eq!((everyone, scripts_run(&redis).await - before), (3, 1));
    carl.peer.close().await;
    bob.list_of(2).await;
    until("the client is removed", async || in_p(&one).all_socket_ids().await.unwrap().len() == 2).await;
    assert_eq!(scripts_run(&redis).await - before, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_dead_node_are_removed_from_member_lists() {
    let (_redis, one, two) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    drop(two.redis);
    assert_eq!(ids(&ann.list_of(1).await), [&ann.id]);
    until("the seat is free", async || in_p(&one).shards().await.unwrap()[0].seated == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_lists_are_local_while_redis_is_down_and_complete_after_it_returns() {
    let (mut redis, one, two) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    redis.kill();
    let (id, other) = (ann.id.clone(), bob.id.clone());
    for name in ["first", "second"] {
        ann.set_user_info(json!({ "name": name })).await;
        let list = ann.list_where(|list| list[&id]["userInfo"]["name"] == name).await;
        assert!(list.get(&other).is_some(), "the list still contains Bob: {list}");
    }
    redis.run_again().await;
    bob.list_where(|list| list[&id]["userInfo"]["name"] == "second").await;
    bob.set_user_info(json!({ "name": "Bob" })).await;
    ann.list_where(|list| list[&other]["userInfo"]["name"] == "Bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_reaches_the_sockets_of_other_nodes() {
    let (_redis, one, two) = two().await;
    let (mut far, id) = peer(&two).await;
    // This node has no socket in the project.
    let app = &one.server.app;
    let reply_to_request = async {
        let question = far.next().await;
        far.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": [7] })).await;
    };
    let (reply, ()) = tokio::join!(app.request::<Value>(id, "/q", &()), reply_to_request);
    assert_eq!(reply.unwrap(), json!([7]));
    assert!(app.set_user_online("7", id).await.unwrap());
    assert!(!app.set_user_online("7", id).await.unwrap());
    assert!(app.sync_tag(id, "vip").await.unwrap());
    two.server.app.settled().await;
    for (target, event) in [(Target::user("7").unwrap(), "user"), (Target::tag("vip").unwrap(), "tag")] {
        app.to(target).emit(event, &1).unwrap();
        assert_eq!(far.next_event().await.0, event);
    }
    assert!(app.unsync_tag(id, "vip").await.unwrap());
    app.set_user_offline("7").await.unwrap();
    until("the user is offline", async || !app.is_user_online("7").await.unwrap()).await;
    app.disconnect(id, 4001, "enough").unwrap();
    assert_eq!(far.closed().await, (4001, "enough".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_socket_of_a_dead_node_fails_as_closed() {
    let (_redis, one, two) = two().await;
    let (mut far, id) = peer(&two).await;
    let app = &one.server.app;
    let outcome = async {
        let request = app.request_within::<u32>(Duration::from_secs(60), id, "/q", &());
        let crash = async {
            far.next().await;
            drop(two.redis);
        };
        tokio::join!(request, crash).0
    };
    assert!(matches!(outcome.await, Err(RequestError::Closed)));
    let tagged = app.sync_tag(id, "t").await;
    assert!(matches!(tagged, Err(MembershipError::Join(JoinError::Closed))), "{tagged:?}");
}
