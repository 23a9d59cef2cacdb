//! Crashes of nodes, and failures of Redis.

use std::time::Duration;

use bytes::Bytes;
use switchboard_backplane::{Backplane, Page, SeatRequest, Seated};
use switchboard_event::{NodeId, ProjectId, ShardName, SocketId, Target};
use switchboard_hub::Scope;
use switchboard_redis::{ConnectError, Options, Redis};
use switchboard_testkit::{RedisServer, Scratch, soon};

use crate::support::{RedisNode, connect, keys, node, options, query, run, settle, until};

fn project() -> ProjectId {
    ProjectId::new("p").unwrap()
}

fn room() -> Target {
    Target::room("lobby").unwrap()
}

fn seven() -> Target {
    Target::user("7").unwrap()
}

/// A node with a socket in the room, of user 7, on a shard.
async fn node_with_socket(server: &RedisServer) -> (RedisNode, switchboard_testkit::Member) {
    let node = connect(server).await;
    let member = node.node.add("p");
    node.node.join(&member, &room());
    node.node.join(&member, &seven());
    take_described_seat(&node, member.session.id).await;
    (node, member)
}

async fn take_described_seat(node: &RedisNode, socket: SocketId) {
    let shard = take_seat(node, socket, None).await;
    node.redis.store().describe(&project(), &shard, socket, Bytes::from_static(b"{}"));
}

async fn take_seat(node: &RedisNode, socket: SocketId, description: Option<Bytes>) -> ShardName {
    let request = SeatRequest {
        socket,
        shard: None,
        capacity: 4,
        overflow: false,
        project_max: None,
        previous: None,
        description,
    };
    match node.redis.store().take_seat(&project(), request).await.unwrap() {
        Seated::In(shard) => shard,
        Seated::Full => panic!("the project has no bound"),
    }
}

/// The numbers of sockets, sockets in the room, sockets of user 7, users, and seats; `None` if Redis does not reply.
async fn try_counts(node: &RedisNode) -> Option<[usize; 5]> {
    let (store, project) = (node.redis.store(), project());
    let shards = store.shards(&project).await.ok()?;
    Some([
        store.count(&project, &Target::Everyone).await.ok()?,
        store.count(&project, &room()).await.ok()?,
        store.count(&project, &seven()).await.ok()?,
        store.count_users(&project).await.ok()?,
        shards.iter().map(|shard| shard.seated).sum(),
    ])
}

async fn counts(node: &RedisNode) -> [usize; 5] {
    try_counts(node).await.expect("Redis answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_of_a_dead_node_is_removed_by_the_others() {
    let server = RedisServer::start().await;
    let (one, _kept) = node_with_socket(&server).await;
    let (other, _) = node_with_socket(&server).await;
    let (dead, _lost) = node_with_socket(&server).await;
    settle(&[&one, &dead]).await;
    assert_eq!(counts(&one).await, [3, 3, 3, 1, 3]);

    let (dead_node, dead_lease) = (dead.redis.bus().node(), dead.redis.store());
    drop((dead, dead_lease));
    until("the presence of the dead node is removed", async || counts(&one).await == [2, 2, 2, 1, 2]).await;
    assert_eq!(counts(&other).await, [2, 2, 2, 1, 2]);
    let mark = dead_node.to_string();
    until("no key of the dead node remains", async || {
        !keys(&server).await.iter().any(|key| key.contains(&mark))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_leaves_no_keys() {
    let server = RedisServer::start().await;
    let (node, member) = node_with_socket(&server).await;
    node.redis.leave().await;
    drop((node, member));
    until("the tombstones expire", async || keys(&server).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keys_of_a_project_remain_after_its_last_socket() {
    let server = RedisServer::start().await;
    let (node, member) = node_with_socket(&server).await;
    let store = node.redis.store();
    store.leave_seat(&project(), &ShardName::new("shard-1").unwrap(), member.session.id);
    node.node.hub.remove(&member.session);
    assert_eq!(counts(&node).await, [0; 5]);
    until("no key of the project remains", async || {
        !keys(&server).await.iter().any(|key| key.contains("{p}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_whose_socket_has_not_joined_yet_is_removed_with_its_dead_node() {
    let server = RedisServer::start().await;
    let (one, dead) = (connect(&server).await, connect(&server).await);
    let shard = take_seat(&dead, SocketId::on(dead.redis.bus().node()), Some("{}".into())).await;
    assert_eq!(counts(&one).await, [1, 0, 0, 0, 1]);
    assert_eq!(one.redis.store().count(&project(), &Target::shard(&shard)).await.unwrap(), 1);
    drop(dead);
    until("the seat is removed", async || counts(&one).await == [0; 5]).await;
    until("no key of the dead node remains", async || {
        !keys(&server).await.iter().any(|key| key.contains("{p}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_lost_between_a_seat_and_its_socket_is_repaired() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let ids = [0; 2].map(|_| SocketId::on(node.redis.bus().node()));
    let shard = take_seat(&node, ids[0], Some("{}".into())).await;
    take_seat(&node, ids[1], Some("{}".into())).await;
    assert_eq!(counts(&node).await, [2, 0, 0, 0, 2]);
    expire_lease(&server, &node).await;
    until("the seats are restored", async || counts(&node).await == [0, 0, 0, 0, 2]).await;
    let member = node.node.add_as("p", ids[0]);
    node.node.join(&member, &Target::shard(&shard));
    assert_eq!(counts(&node).await, [1, 0, 0, 0, 2]);
    for id in ids {
        node.redis.store().leave_seat(&project(), &shard, id);
    }
    assert_eq!(node.redis.store().count(&project(), &Target::shard(&shard)).await.unwrap(), 1);
    node.node.hub.remove(&member.session);
    assert_eq!(counts(&node).await, [0; 5]);
    until("no key of the shard remains", async || {
        !keys(&server).await.iter().any(|key| key.ends_with(&*shard))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_restored_after_a_restart_with_empty_data() {
    let mut server = RedisServer::start().await;
    let ((one, _a), (two, b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    server.kill();
    until("the loss is noticed", async || !one.redis.bus().is_up() && !one.redis.store().is_up()).await;
    let lost = || one.node.hub.stats().bus_disconnected.load(std::sync::atomic::Ordering::Relaxed);
    let before = lost();
    one.node.send("p", room(), "lost", Scope::AllNodes);
    assert_eq!(lost(), before + 1);
    assert!(one.redis.store().count(&project(), &room()).await.is_err());

    // Changes during the outage are written afterwards.
    let late = one.node.add("p");
    one.node.join(&late, &room());
    two.node.hub.leave(&b.session, &seven());
    server.run_again().await;
    for node in [&one, &two] {
        until("the node is connected", async || node.redis.bus().is_up() && node.redis.store().is_up()).await;
        until("the presence is restored", async || counts(node).await == [3, 3, 1, 1, 2]).await;
    }
    settle(&[&one, &two]).await;
    one.node.send("p", room(), "after", Scope::AllNodes);
    until("sends arrive again", async || b.received().ends_with("after.")).await;
    let shards = two.redis.store().shards(&project()).await.unwrap();
    assert_eq!(shards.len(), 1, "the same shard as before: {shards:?}");
}

/// Acknowledged writes can be lost: a snapshot can be older, and a replica may not have received them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_restored_after_a_restart_with_older_data() {
    let scratch = Scratch::new();
    let mut server = RedisServer::start_with(&["--dir", &scratch.file("")]).await;
    let long = Options { lease: Duration::from_secs(60), ..options(&server) };
    let node = node(Redis::connect(long).await.unwrap());
    let (gone, stays) = (node.node.add("p"), node.node.add("p"));
    node.node.join(&gone, &room());
    assert_eq!(counts(&node).await, [2, 1, 0, 0, 0]);
    assert_eq!(server.ask("SAVE").await, "+OK");
    node.node.hub.remove(&gone.session);
    node.node.join(&stays, &seven());
    take_described_seat(&node, stays.session.id).await;
    assert_eq!(counts(&node).await, [1, 0, 1, 1, 1]);
    server.kill();
    until("the loss is noticed", async || !node.redis.store().is_up()).await;
    server.run_again().await;
    until("the presence is restored", async || try_counts(&node).await == Some([1, 0, 1, 1, 1])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_lease_expired_restores_its_presence() {
    let server = RedisServer::start().await;
    let ((one, _a), (two, _b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    expire_lease(&server, &one).await;
    until("the presence of both is complete", async || counts(&two).await == [2, 2, 2, 1, 2]).await;
    assert_eq!(counts(&one).await, [2, 2, 2, 1, 2]);
    let described =
        two.redis.store().descriptions(&project(), &ShardName::new("shard-1").unwrap()).await.unwrap();
    assert_eq!(described.len(), 1, "the description of its client is restored as well");
}

/// Expires the lease of a node, and waits until the lease is swept and the node has a new one.
async fn expire_lease(server: &RedisServer, node: &RedisNode) {
    let lease = lease_of(server, node.redis.bus().node()).await;
    let _: i64 = query(server, redis::cmd("ZADD").arg("switchboard:{*}:nodes").arg(1).arg(&lease)).await;
    until("the node has a new lease", async || {
        let now = lease_of(server, node.redis.bus().node()).await;
        now != lease && !now.is_empty()
    })
    .await;
}

async fn lease_of(server: &RedisServer, node: NodeId) -> String {
    let leases: Vec<String> =
        query(server, redis::cmd("ZRANGE").arg("switchboard:{*}:nodes").arg(0).arg(-1)).await;
    leases.into_iter().find(|lease| lease.starts_with(&node.to_string())).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_redis_blocks_no_node() {
    let server = RedisServer::start().await;
    let ((one, a), (two, b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    server.pause();
    one.node.send("p", room(), "local", Scope::AllNodes);
    assert_eq!(a.received(), "local.", "local delivery does not wait for Redis");
    let store = one.redis.store();
    assert!(soon("the query fails", store.count(&project(), &room())).await.is_err());
    until("the loss is noticed", async || !one.redis.bus().is_up()).await;
    server.resume();
    until("the connections are restored", async || {
        one.redis.bus().is_up() && two.redis.bus().is_up() && one.redis.store().is_up()
    })
    .await;
    settle(&[&one, &two]).await;
    one.node.send("p", room(), "again", Scope::AllNodes);
    until("sends arrive again", async || b.received().ends_with("again.")).await;
    assert!(b.received().matches("local.").count() <= 1, "no event arrives twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_redis_only_if_redis_is_optional() {
    let mut server = RedisServer::start().await;
    server.kill();
    let refused = Redis::connect(options(&server)).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })));
    let nonsense = Redis::connect(Options::new("http://nowhere")).await;
    assert!(matches!(nonsense, Err(ConnectError::Options(_))));

    let alone = node(Redis::connect(Options { required: false, ..options(&server) }).await.unwrap());
    let member = alone.node.add("p");
    alone.node.join(&member, &room());
    alone.node.send("p", room(), "local", Scope::AllNodes);
    assert_eq!(member.received(), "local.");
    server.run_again().await;
    until("the node connects", async || alone.redis.store().is_up()).await;
    assert_eq!(alone.redis.store().count(&project(), &room()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_sweep_is_finished_by_another_node() {
    let server = RedisServer::start().await;
    let (one, _a) = node_with_socket(&server).await;
    let (dead, _lost) = node_with_socket(&server).await;
    assert_eq!(counts(&dead).await, [2, 2, 2, 1, 2]);
    let lease = lease_of(&server, dead.redis.bus().node()).await;
    drop(dead);
    // Simulates a node that crashed during a sweep: the room is swept, the rest is not.
    let index = format!("switchboard:{{p}}:lease:{lease}");
    let _: i64 = query(&server, redis::cmd("DEL").arg("switchboard:{p}:in:#lobby")).await;
    let _: i64 = query(&server, redis::cmd("SREM").arg(&index).arg("#lobby")).await;
    until("the rest is swept", async || {
        let [sockets, _, of_seven, users, seats] = counts(&one).await;
        [sockets, of_seven, users, seats] == [1, 1, 1, 1]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_sweep_a_large_dead_node_together() {
    const SOCKETS: usize = 3000;
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await, connect(&server).await];
    let dead = connect(&server).await;
    let members: Vec<_> = (0..SOCKETS).map(|_| dead.node.add("p")).collect();
    for (n, member) in members.iter().enumerate() {
        dead.node.join(member, &Target::room(&format!("room-{}", n % 500)).unwrap());
        dead.node.join(member, &Target::user(&format!("user-{n}")).unwrap());
    }
    let survivor = nodes[0].node.add("p");
    nodes[0].node.join(&survivor, &Target::room("room-1").unwrap());
    assert_eq!(dead.redis.store().count_users(&project()).await.unwrap(), SOCKETS);
    drop((dead, members));
    for node in &nodes {
        let store = node.redis.store();
        until("only the survivor remains", async || {
            store.count(&project(), &Target::Everyone).await.unwrap() == 1
                && store.count_users(&project()).await.unwrap() == 0
        })
        .await;
        let members = store.members(&project(), &Target::room("room-1").unwrap(), Page::all()).await.unwrap();
        assert_eq!(members, [survivor.session.id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_our_keys_and_channels_is_ignored() {
    let server = RedisServer::start().await;
    let ((one, a), (two, _b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    let channel = "switchboard:{p}:to:#lobby";
    for garbage in [&b""[..], b"{}", b"\x01", b"\x01\x01\0\0\0\x01\0\0\0\0\0\0\0\0\xff\xff", &[0xff; 70_000]]
    {
        let receivers: i64 = query(&server, redis::cmd("PUBLISH").arg(channel).arg(garbage)).await;
        assert_eq!(receivers, 2);
    }
    let add = async |key: &str, score: i64, member: &[u8]| {
        let _: i64 = query(&server, redis::cmd("ZADD").arg(key).arg(score).arg(member)).await;
    };
    add("switchboard:{*}:nodes", 1, b"no lease").await;
    add("switchboard:{p}:in:#lobby", 0, b"short").await;
    add("switchboard:{p}:users", 0, b"\xff\xfe").await;
    let _: String = query(&server, redis::cmd("SET").arg("switchboard:{p}:in:#wrong").arg("a text")).await;
    let store = two.redis.store();
    let members = store.members(&project(), &room(), Page::all()).await.unwrap();
    assert_eq!(members.len(), 2, "an invalid id is not counted");
    assert_eq!(store.users(&project(), Page::all()).await.unwrap(), ["7"]);
    assert!(store.count(&project(), &Target::room("wrong").unwrap()).await.is_err());
    settle(&[&one, &two]).await;
    two.node.send("p", room(), "after", Scope::AllNodes);
    until("sends still arrive", async || a.received() == "after.").await;
    until("the invalid lease is removed", async || {
        let score: Option<f64> =
            query(&server, redis::cmd("ZSCORE").arg("switchboard:{*}:nodes").arg("no lease")).await;
        score.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_joins_delays_no_other_node() {
    const ROUNDS: usize = 40_000;
    let server = RedisServer::start().await;
    let ((one, a), (two, b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    let flooded = Target::room("flooded").unwrap();
    let member = one.node.add("p");
    for _ in 0..ROUNDS {
        one.node.join(&member, &flooded);
        one.node.hub.leave(&member.session, &flooded);
    }
    one.node.join(&member, &flooded);
    // Meanwhile queries and sends of other nodes work, and the flood is written completely.
    assert_eq!(two.redis.store().count(&project(), &room()).await.unwrap(), 2);
    two.node.send("p", room(), "past", Scope::AllNodes);
    until("sends arrive", async || a.received().ends_with("past.") && b.received().ends_with("past.")).await;
    let is_written = async || two.redis.store().count(&project(), &flooded).await.unwrap() == 1;
    until("the flood is written", is_written).await;
    assert_eq!(one.redis.store().count(&project(), &flooded).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_receives_only_publications_for_its_sockets() {
    let server = RedisServer::start().await;
    let ((one, _a), (two, b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    let third = connect(&server).await;
    let idle = third.node.add("other");
    settle(&[&one, &two, &third]).await;
    let before = channels(&server).await;
    for n in 0..50 {
        one.node.send("p", room(), &format!("e{n}"), Scope::AllNodes);
    }
    one.node.send("p", Target::Socket(b.session.id), "direct", Scope::AllNodes);
    until("all events arrive", async || b.received().ends_with("e49.direct.")).await;
    assert_eq!(idle.received(), "");
    let after = channels(&server).await;
    assert_eq!(before, after, "no channel is added");
    let third_id = third.redis.bus().node().to_string();
    assert!(!after.iter().any(|channel| channel.contains("{p}") && channel.contains(&third_id)));

    // The channel of a room without members is unsubscribed after the linger time.
    two.node.hub.leave(&b.session, &room());
    one.node.hub.clear(&project(), &room());
    until("the room has no subscriber", async || {
        !channels(&server).await.contains(&"switchboard:{p}:to:#lobby".to_owned())
    })
    .await;
}

async fn channels(server: &RedisServer) -> Vec<String> {
    let mut channels: Vec<String> = query(server, redis::cmd("PUBSUB").arg("CHANNELS")).await;
    channels.sort();
    channels
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_recover_within_5_s_after_their_connections_are_cut() {
    let server = RedisServer::start().await;
    let ((one, _a), (two, b)) = (node_with_socket(&server).await, node_with_socket(&server).await);
    settle(&[&one, &two]).await;
    // The nodes cannot reconnect before the test has seen the loss.
    let _: String = run(&server, &["ACL", "SETUSER", "default", "-subscribe", "-ssubscribe"]).await;
    for kind in ["normal", "pubsub"] {
        let _: i64 = run(&server, &["CLIENT", "KILL", "TYPE", kind]).await;
    }
    until("both are disconnected", async || !one.redis.bus().is_up() && !two.redis.bus().is_up()).await;
    let _: String = run(&server, &["ACL", "SETUSER", "default", "+subscribe", "+ssubscribe"]).await;
    tokio::time::timeout(Duration::from_secs(5), async {
        until("both are connected", async || one.redis.bus().is_up() && two.redis.bus().is_up()).await;
        until("the presence is complete", async || try_counts(&one).await == Some([2, 2, 2, 1, 2])).await;
    })
    .await
    .expect("the nodes recover within 5 s");
    settle(&[&one, &two]).await;
    one.node.send("p", room(), "after", Scope::AllNodes);
    until("sends arrive again", async || b.received().ends_with("after.")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_wrong_type_affects_no_other_target() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let _: String = query(&server, redis::cmd("SET").arg("switchboard:{p}:in:#bad").arg("a text")).await;
    let (one, other) = (node.node.add("p"), node.node.add("p"));
    let [bad, good] = ["bad", "good"].map(|name| Target::room(name).unwrap());
    for member in [&one, &other] {
        node.node.join(member, &bad);
        node.node.join(member, &good);
    }
    let count = async |target| node.redis.store().count(&project(), target).await;
    assert_eq!(count(&good).await.unwrap(), 2);
    assert!(count(&bad).await.is_err());
    node.node.hub.remove(&one.session);
    assert_eq!(count(&good).await.unwrap(), 1);
    let _: i64 = query(&server, redis::cmd("DEL").arg("switchboard:{p}:in:#bad")).await;
    node.node.hub.remove(&other.session);
    assert_eq!(count(&good).await.unwrap(), 0);
    until("no key of the project remains", async || {
        !keys(&server).await.iter().any(|key| key.contains("{p}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_degraded_while_publishing_stalls_and_for_a_while_after_its_connection_was_lost() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let bus = node.redis.bus();
    assert!(!bus.is_degraded());
    server.pause();
    node.node.send("p", room(), "late", Scope::AllNodes);
    until("the stall is seen", async || bus.is_degraded()).await;
    // No reply within 2 s ends the connection.
    until("the loss is seen", async || !bus.is_up()).await;
    server.resume();
    until("the node is connected", async || bus.is_up()).await;
    assert!(bus.is_degraded(), "although it is connected again");
}
