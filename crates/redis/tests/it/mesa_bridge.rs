//! The bridge to legacy Mesa servers and Dispatchers: the keys and the channel messages that they share
//! with ours. The tests read and write them as legacy software does.

use switchboard_backplane::{Backplane, Content, IfUnreached, Publication, SeatRequest};
use switchboard_event::{Audience, NodeId, ProjectId, ShardName, SocketId, Target};
use switchboard_hub::Scope;
use switchboard_redis::{ConnectError, EmitBridge, MesaBridge, Mode, Options, Redis};
use switchboard_testkit::{Member, RedisServer};

use crate::channels::{ChannelProbe, publish};
use crate::support::{RedisNode, keys, node, options, run, settle, until};

fn mesa() -> MesaBridge {
    let project = ProjectId::new("p").unwrap();
    MesaBridge { namespace: Some("api".into()), project, ..MesaBridge::default() }
}

async fn connect_as(server: &RedisServer, mesa: MesaBridge) -> RedisNode {
    let options = Options { mesa: Some(mesa), ..options(server) };
    node(Redis::connect(options).await.expect("Redis answers"))
}

async fn connect(server: &RedisServer) -> RedisNode {
    connect_as(server, mesa()).await
}

fn user(id: &str) -> Target {
    Target::user(id).unwrap()
}

/// Adds a socket of a user in the bridged project.
fn connect_user(node: &RedisNode, id: &str) -> Member {
    let member = node.node.add("p");
    node.node.join(&member, &user(id));
    member
}

fn disconnect_user(node: &RedisNode, member: &Member) {
    node.node.hub.remove(&member.session);
}

/// The users in the legacy set, and the number of connections.
async fn legacy_state(server: &RedisServer) -> (Vec<String>, i64) {
    let mut users: Vec<String> = run(server, &["SMEMBERS", "connected_clients_api"]).await;
    users.sort();
    let count: Option<i64> = run(server, &["GET", "connected_clients_count_api"]).await;
    (users, count.unwrap_or(0))
}

/// The same after all changes of the nodes are written.
async fn written_state(server: &RedisServer, nodes: &[&RedisNode]) -> (Vec<String>, i64) {
    for node in nodes {
        node.redis.store().settled().await;
    }
    legacy_state(server).await
}

fn state(users: &[&str], count: i64) -> (Vec<String>, i64) {
    (users.iter().map(|user| user.to_string()).collect(), count)
}

async fn publish_as_dispatcher(server: &RedisServer, kind: &str, recipients: &str) {
    let message = format!(r#"{{"message":{{"op":0,"d":{{}},"t":"{kind}"}},"recipients":{recipients}}}"#);
    publish(server, "ws_api", &message).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_dispatchers_reach_each_socket_of_the_recipients_once_and_in_order() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (phone, laptop, other) = (connect_user(&one, "1"), connect_user(&two, "1"), connect_user(&two, "2"));
    let (unknown, in_other_project) = (one.node.add("p"), two.node.add("other"));
    settle(&[&one, &two]).await;
    assert_eq!(publish(&server, "ws_api", "{bad").await, 2, "every node is subscribed to the channel");
    for n in 0..20 {
        publish_as_dispatcher(&server, &format!("n{n}"), r#"["1","1"]"#).await;
    }
    publish_as_dispatcher(&server, "number", "[1,null,{}]").await;
    publish_as_dispatcher(&server, "both", r#"["2","1","3"]"#).await;
    for garbage in ["", "null", "[]", r#"{"message":{},"recipients":["*"]}"#, "\u{0}\u{ffff}"] {
        publish(&server, "ws_api", garbage).await;
    }
    publish_as_dispatcher(&server, "nobody", "[]").await;
    publish_as_dispatcher(&server, "all", r#"["2","*"]"#).await;
    publish_as_dispatcher(&server, "end", r#"["1","2"]"#).await;
    let sequence: String = (0..20).map(|n| format!("n{n}.")).collect();
    for (member, expected) in [
        (&phone, format!("{sequence}number.both.all.end.")),
        (&laptop, format!("{sequence}number.both.all.end.")),
        (&other, "both.all.end.".into()),
        (&unknown, "all.".into()),
    ] {
        until("all messages arrive", async || member.received() == expected).await;
    }
    assert_eq!(in_other_project.received(), "", "the bridge serves one project");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_published_for_legacy_servers_only_if_so_configured() {
    let server = RedisServer::start().await;
    let (one, two) = (
        connect_as(&server, MesaBridge { servers: true, ..mesa() }).await,
        connect_as(&server, mesa()).await,
    );
    let (near, far) = (connect_user(&one, "7"), connect_user(&two, "7"));
    settle(&[&one, &two]).await;
    let mut probe = ChannelProbe::open(&server, &["ws_api"]).await;
    let send = |audience: Audience, event: &str| one.node.send("p", audience, event, Scope::AllNodes);
    two.node.send("p", Target::Everyone, "silent", Scope::AllNodes);
    settle(&[&one, &two]).await;
    one.node.send("other", Target::Everyone, "elsewhere", Scope::AllNodes);
    one.node.send("p", Target::Everyone, "local", Scope::ThisNode);
    send(Target::room("r").unwrap().into(), "room");
    send(Target::Socket(near.session.id).into(), "near");
    send(Target::Socket(SocketId::on(NodeId(9))).into(), "gone");
    send(user("*").into(), "star");
    send(Audience::everyone().except(Target::Everyone), "none");
    send(Audience::everyone().and(user("1")).except(near.session.id), "all");
    send(Audience::from(user("7")).and(user("8")).and(user("7")).and(user("9")).except(user("9")), "@op/7/U");
    let close = Content::Close { code: 4000, reason: "bye".into() };
    let (project, audience) = (mesa().project, user("9").into());
    one.redis.bus().publish(&Publication { project, audience, content: close }, IfUnreached::Ignore).unwrap();
    let head = format!(r#"{{"switchboard":"{}","message":"#, one.redis.bus().node());
    for message in [
        r#"{"op":0,"d":{},"t":"all"},"recipients":["*"]}"#,
        r#"{"op":7,"d":{},"t":"U"},"recipients":["7","8"]}"#,
        r#"{"op":5,"d":{},"t":"DISCONNECT_CLIENT"},"recipients":["9"]}"#,
    ] {
        assert_eq!(probe.next().await, ("ws_api".into(), format!("{head}{message}")));
    }
    settle(&[&one, &two]).await;
    assert_eq!(far.received(), "silent.all.@op/7/U.", "no event arrives by both the bus and the bridge");
    assert_eq!(near.received(), "silent.local.near.@op/7/U.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_connected_from_its_first_socket_on_any_node_to_its_last() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let nodes = [&one, &two];
    let (phone, unknown) = (connect_user(&one, "7"), one.node.add("p"));
    let in_other_project = one.node.add("other");
    one.node.join(&in_other_project, &user("9"));
    assert_eq!(written_state(&server, &nodes).await, state(&["7"], 2));
    let (laptop, other) = (connect_user(&two, "7"), connect_user(&two, "8"));
    assert_eq!(written_state(&server, &nodes).await, state(&["7", "8"], 4));
    disconnect_user(&one, &phone);
    assert_eq!(written_state(&server, &nodes).await, state(&["7", "8"], 3), "one socket remains");
    two.node.hub.leave(&laptop.session, &user("7"));
    assert_eq!(written_state(&server, &nodes).await, state(&["8"], 3), "the socket has no user");
    two.node.join(&laptop, &user("9"));
    assert_eq!(written_state(&server, &nodes).await, state(&["8", "9"], 3));
    for (node, member) in [(&two, &laptop), (&two, &other), (&one, &unknown)] {
        disconnect_user(node, member);
    }
    assert_eq!(written_state(&server, &nodes).await, state(&[], 0));
    let left = keys(&server).await;
    assert!(!left.iter().any(|key| key.contains("{p}")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_with_a_seat_is_counted() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let socket = SocketId::on(node.redis.bus().node());
    let (shard, description) = (ShardName::new("chat").ok(), Some("{}".into()));
    let request = SeatRequest {
        socket,
        shard,
        capacity: 4,
        overflow: false,
        project_max: None,
        previous: None,
        description,
    };
    node.redis.store().take_seat(&mesa().project, request).await.expect("Redis answers");
    let member = node.node.add_as("p", socket);
    node.node.join(&member, &user("7"));
    assert_eq!(written_state(&server, &[&node]).await, state(&["7"], 1));
    disconnect_user(&node, &member);
    node.redis.store().leave_seat(&mesa().project, &ShardName::new("chat").unwrap(), socket);
    assert_eq!(written_state(&server, &[&node]).await, state(&[], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_of_a_dead_node_keeps_the_entries_of_legacy_servers() {
    let server = RedisServer::start().await;
    let (survivor, dead) = (connect(&server).await, connect(&server).await);
    let kept = connect_user(&survivor, "7");
    let lost: Vec<Member> = ["7", "8", "8", "9"].iter().map(|id| connect_user(&dead, id)).collect();
    let _: i64 = run(&server, &["SADD", "connected_clients_api", "theirs"]).await;
    let _: i64 = run(&server, &["INCRBY", "connected_clients_count_api", "10"]).await;
    assert_eq!(written_state(&server, &[&survivor, &dead]).await, state(&["7", "8", "9", "theirs"], 15));
    drop(dead);
    until("the entries of the dead node are removed", async || {
        legacy_state(&server).await == state(&["7", "theirs"], 11)
    })
    .await;
    drop(lost);

    let plain = crate::support::connect(&server).await;
    drop(survivor);
    until("a node without a bridge removes the entries too", async || {
        legacy_state(&server).await == state(&["theirs"], 10)
    })
    .await;
    until("no key of ours remains", async || {
        !keys(&server).await.iter().any(|key| key.contains(":mirror:") || key.contains("{p}"))
    })
    .await;
    drop((kept, plain));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_removes_its_entries() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (_a, _b) = (connect_user(&one, "7"), connect_user(&two, "8"));
    assert_eq!(written_state(&server, &[&one, &two]).await, state(&["7", "8"], 2));
    one.redis.leave().await;
    assert_eq!(legacy_state(&server).await, state(&["8"], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_bridge_leaves_no_users_in_the_set() {
    let server = RedisServer::start().await;
    let (old, new) = (crate::support::connect(&server).await, connect(&server).await);
    let (first, second) = (connect_user(&old, "7"), connect_user(&new, "7"));
    assert_eq!(written_state(&server, &[&old, &new]).await, state(&["7"], 1));
    disconnect_user(&new, &second);
    assert_eq!(written_state(&server, &[&old, &new]).await, state(&[], 0));
    disconnect_user(&old, &first);
    assert_eq!(written_state(&server, &[&old, &new]).await, state(&[], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entries_are_restored_after_a_restart_with_empty_data() {
    let mut server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (_a, _b, _c) = (connect_user(&one, "7"), connect_user(&two, "7"), connect_user(&two, "8"));
    assert_eq!(written_state(&server, &[&one, &two]).await, state(&["7", "8"], 3));
    server.kill();
    until("the loss is noticed", async || !one.redis.store().is_up() && !two.redis.store().is_up()).await;
    server.run_again().await;
    until("the entries are restored", async || legacy_state(&server).await == state(&["7", "8"], 3)).await;
    until("the nodes are subscribed again", async || publish(&server, "ws_api", "{}").await == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_keys_of_the_wrong_type_cause_no_failure() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let _: String = run(&server, &["SET", "connected_clients_api", "a text"]).await;
    let _: i64 = run(&server, &["HSET", "connected_clients_count_api", "a", "hash"]).await;
    let first = connect_user(&node, "7");
    assert_eq!(node.redis.store().count_users(&mesa().project).await.unwrap(), 1);
    let _: i64 = run(&server, &["DEL", "connected_clients_api", "connected_clients_count_api"]).await;
    let second = connect_user(&node, "7");
    assert_eq!(written_state(&server, &[&node]).await, state(&["7"], 1), "the next socket writes the entry");
    disconnect_user(&node, &first);
    disconnect_user(&node, &second);
    assert_eq!(written_state(&server, &[&node]).await, state(&[], 0), "the count is never negative");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_is_exact_for_random_connects_and_disconnects() {
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut connected: Vec<(usize, String, Member)> = Vec::new();
    for round in 0..600 {
        if connected.is_empty() || random(5) < 3 {
            let (place, id) = (random(2), random(12).to_string());
            connected.push((place, id.clone(), connect_user(&nodes[place], &id)));
        } else {
            let (place, _, member) = connected.swap_remove(random(connected.len()));
            disconnect_user(&nodes[place], &member);
        }
        if round % 60 == 0 {
            let mut users: Vec<String> = connected.iter().map(|(_, id, _)| id.clone()).collect();
            users.sort();
            users.dedup();
            let actual = written_state(&server, &[&nodes[0], &nodes[1]]).await;
            assert_eq!(actual, (users, connected.len() as i64), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_project_can_have_both_legacy_bridges() {
    let server = RedisServer::start().await;
    let emit = EmitBridge { project: mesa().project, ..EmitBridge::default() };
    let options = Options { emit: Some(emit), mesa: Some(mesa()), ..options(&server) };
    let both = node(Redis::connect(options.clone()).await.unwrap());
    let survivor = node(Redis::connect(options).await.unwrap());
    let member = connect_user(&both, "7");
    assert_eq!(written_state(&server, &[&both]).await, state(&["7"], 1));
    assert_eq!(run::<Vec<String>>(&server, &["HKEYS", "emit.gg:users"]).await, ["7"]);
    settle(&[&both, &survivor]).await;
    publish_as_dispatcher(&server, "mesa", r#"["7"]"#).await;
    publish(&server, "emit.gg", r#"{"_instance":"a","event":"emit"}"#).await;
    until("both events arrive", async || member.received() == "mesa.emit.").await;
    drop(both);
    until("the entries of the dead node are removed", async || legacy_state(&server).await == state(&[], 0))
        .await;
    until("the copies are removed", async || {
        !keys(&server).await.iter().any(|key| key.starts_with("emit.gg"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_stored_connections_messages_of_dispatchers_still_arrive() {
    let server = RedisServer::start().await;
    let silent =
        connect_as(&server, MesaBridge { stores_connected_users: false, servers: true, ..mesa() }).await;
    let member = connect_user(&silent, "7");
    assert_eq!(written_state(&server, &[&silent]).await, state(&[], 0));
    assert!(keys(&server).await.iter().all(|key| key.starts_with("switchboard:")), "no legacy key exists");
    assert_eq!(
        silent.redis.store().count_users(&mesa().project).await.unwrap(),
        1,
        "the store knows the user"
    );

    let other = connect(&server).await;
    let stored = connect_user(&other, "8");
    settle(&[&silent, &other]).await;
    publish_as_dispatcher(&server, "dispatched", r#"["7"]"#).await;
    until("the message arrives", async || member.received() == "dispatched.").await;
    disconnect_user(&silent, &member);
    assert_eq!(
        written_state(&server, &[&silent, &other]).await,
        state(&["8"], 1),
        "the entry of the other node"
    );
    disconnect_user(&other, &stored);
    assert_eq!(written_state(&server, &[&silent, &other]).await, state(&[], 0));
}

#[tokio::test]
async fn the_bridge_is_refused_for_a_cluster() {
    let mesa = Some(mesa());
    let options = Options { mesa, mode: Mode::Cluster, ..Options::new("redis://127.0.0.1:1") };
    assert!(matches!(Redis::connect(options).await, Err(ConnectError::Options(_))));
}
