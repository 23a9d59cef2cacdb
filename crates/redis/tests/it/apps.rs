//! Two whole apps that share a Redis are one server, to clients over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, JoinError, Koji, MembershipError, ProjectId, RequestError, SocketId, Target};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::{KojiPeer, Peer, RedisServer, TestServer};

use crate::support::{options, until};

/// A node as it is run: it dies when `redis` is dropped.
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

/// A peer of a node, and its id, known to all.
async fn peer(node: &AppNode) -> (Peer, SocketId) {
    let mut peer = node.server.peer().await;
    peer.quiet().await;
    let mut here = node.server.app.hub().index().all_sessions();
    node.server.app.settled().await;
    (peer, here.pop().expect("it is the only one").id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_of_the_clients_of_all_nodes_and_the_same_everywhere() {
    let (_redis, one, two) = two().await;
    let mut ann = join(&one).await;
    ann.set_user_info(json!({ "name": "Ann" })).await;
    let id = ann.id.clone();
    ann.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    let mut bob = join(&two).await;
    let first = bob.list_where(|list| list[&id]["userInfo"]["name"] == "Ann").await;
    assert_eq!(ids(&first), [&ann.id, &bob.id], "in the order they came");
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
    let gone = bob.id.clone();
    bob.peer.close().await;
    assert_eq!(ann.list_where(|list| list.get(&gone).is_none()).await.as_object().unwrap().len(), 2);
}

/// How often scripts were run so far.
async fn scripts_run(redis: &RedisServer) -> u64 {
    let info = redis.ask_text("INFO commandstats").await;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|line| line.split(',').next()?.parse().ok()).expect("a number of calls")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_koji_client_comes_by_one_script_and_goes_by_two() {
    let redis = RedisServer::start().await;
    // No renewal falls into the test.
    let calm = || Options { lease: Duration::from_secs(60), ..options(&redis) };
    let (one, two) = (start_with(calm()).await, start_with(calm()).await);
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    let before = scripts_run(&redis).await;
    let mut carl = join(&one).await;
    // The other node has heard of it, and by its answer all that was done before is written.
    bob.list_of(3).await;
    carl.list_of(3).await;
    assert_eq!(in_p(&one).shards().await.unwrap()[0].seated, 3);
    let everyone = in_p(&one).all_socket_ids().await.unwrap().len();
    assert_eq!((everyone, scripts_run(&redis).await - before), (3, 1));
    carl.peer.close().await;
    bob.list_of(2).await;
    until("it is gone", async || in_p(&one).all_socket_ids().await.unwrap().len() == 2).await;
    assert_eq!(scripts_run(&redis).await - before, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_dead_node_leave_the_lists() {
    let (_redis, one, two) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    drop(two.redis);
    assert_eq!(ids(&ann.list_of(1).await), [&ann.id]);
    until("its seat is free", async || in_p(&one).shards().await.unwrap()[0].seated == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_node_tells_what_it_knows_and_afterwards_everything() {
    let (mut redis, one, two) = two().await;
    let (mut ann, mut bob) = (join(&one).await, join(&two).await);
    ann.list_of(2).await;
    bob.list_of(2).await;
    redis.kill();
    let (id, other) = (ann.id.clone(), bob.id.clone());
    for name in ["first", "second"] {
        ann.set_user_info(json!({ "name": name })).await;
        let list = ann.list_where(|list| list[&id]["userInfo"]["name"] == name).await;
        assert!(list.get(&other).is_some(), "Bob is still known: {list}");
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
    // It has no socket of its own in the project.
    let app = &one.server.app;
    let answering = async {
        let question = far.next().await;
        far.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": [7] })).await;
    };
    let (said, ()) = tokio::join!(app.request::<Value>(id, "/q", &()), answering);
    assert_eq!(said.unwrap(), json!([7]));
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
    until("nobody is online", async || !app.is_user_online("7").await.unwrap()).await;
    app.disconnect(id, 4001, "enough").unwrap();
    assert_eq!(far.closed().await, (4001, "enough".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_node_cannot_answer_is_found_to_be_gone() {
    let (_redis, one, two) = two().await;
    let (mut far, id) = peer(&two).await;
    let app = &one.server.app;
    let asked = async {
        let asking = app.request_within::<u32>(Duration::from_secs(60), id, "/q", &());
        let dying = async {
            far.next().await;
            drop(two.redis);
        };
        tokio::join!(asking, dying).0
    };
    assert!(matches!(asked.await, Err(RequestError::Closed)));
    let tagged = app.sync_tag(id, "t").await;
    assert!(matches!(tagged, Err(MembershipError::Join(JoinError::Closed))), "{tagged:?}");
}
