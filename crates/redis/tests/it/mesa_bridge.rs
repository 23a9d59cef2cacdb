//! The bridge to original Mesa servers and Dispatchers, whose part the test plays: what stands in Redis,
//! and what is said on the channel.

use switchboard_backplane::{Backplane, Content, Publication, SeatRequest};
use switchboard_event::{Audience, NodeId, ProjectId, ShardName, SocketId, Target};
use switchboard_hub::Scope;
use switchboard_redis::{ConnectError, EmitBridge, MesaBridge, Mode, Options, Redis};
use switchboard_testkit::RedisServer;
use switchboard_testkit::contract::Member;

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

/// A socket of a user in the bridged project.
fn come(node: &RedisNode, id: &str) -> Member {
    let member = node.node.add("p");
    node.node.join(&member, &user(id));
    member
}

fn go(node: &RedisNode, member: &Member) {
    node.node.hub.remove(&member.session);
}

/// The users that stand in the originals' set, and the number of connections.
async fn standing(server: &RedisServer) -> (Vec<String>, i64) {
    let mut users: Vec<String> = run(server, &["SMEMBERS", "connected_clients_api"]).await;
    users.sort();
    let count: Option<i64> = run(server, &["GET", "connected_clients_count_api"]).await;
    (users, count.unwrap_or(0))
}

/// The same once everything that the nodes did is written.
async fn written(server: &RedisServer, nodes: &[&RedisNode]) -> (Vec<String>, i64) {
    for node in nodes {
        node.redis.store().settled().await;
    }
    standing(server).await
}

fn these(users: &[&str], count: i64) -> (Vec<String>, i64) {
    (users.iter().map(|user| user.to_string()).collect(), count)
}

async fn say(server: &RedisServer, kind: &str, recipients: &str) {
    let message = format!(r#"{{"message":{{"op":0,"d":{{}},"t":"{kind}"}},"recipients":{recipients}}}"#);
    publish(server, "ws_api", &message).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dispatchers_say_reaches_each_socket_of_the_recipients_once_and_in_order() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (phone, laptop, other) = (come(&one, "1"), come(&two, "1"), come(&two, "2"));
    let (unknown, stranger) = (one.node.add("p"), two.node.add("other"));
    settle(&[&one, &two]).await;
    assert_eq!(publish(&server, "ws_api", "{bad").await, 2, "every node hears the channel");
    for n in 0..20 {
        say(&server, &format!("n{n}"), r#"["1","1"]"#).await;
    }
    say(&server, "number", "[1,null,{}]").await;
    say(&server, "both", r#"["2","1","3"]"#).await;
    for garbage in ["", "null", "[]", r#"{"message":{},"recipients":["*"]}"#, "\u{0}\u{ffff}"] {
        publish(&server, "ws_api", garbage).await;
    }
    say(&server, "nobody", "[]").await;
    say(&server, "all", r#"["2","*"]"#).await;
    say(&server, "end", r#"["1","2"]"#).await;
    let sequence: String = (0..20).map(|n| format!("n{n}.")).collect();
    for (member, expected) in [
        (&phone, format!("{sequence}number.both.all.end.")),
        (&laptop, format!("{sequence}number.both.all.end.")),
        (&other, "both.all.end.".into()),
        (&unknown, "all.".into()),
    ] {
        until("all arrives", async || member.received() == expected).await;
    }
    assert_eq!(stranger.received(), "", "a namespace is a project");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn original_servers_are_told_only_if_they_may_be_there() {
    let server = RedisServer::start().await;
    let (one, two) = (
        connect_as(&server, MesaBridge { servers: true, ..mesa() }).await,
        connect_as(&server, mesa()).await,
    );
    let (near, far) = (come(&one, "7"), come(&two, "7"));
    settle(&[&one, &two]).await;
    let mut ear = ChannelProbe::open(&server, &["ws_api"]).await;
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
    one.redis.bus().publish(&Publication { project, audience, content: close }).unwrap();
    let head = format!(r#"{{"switchboard":"{}","message":"#, one.redis.bus().node());
    for said in [
        r#"{"op":0,"d":{},"t":"all"},"recipients":["*"]}"#,
        r#"{"op":7,"d":{},"t":"U"},"recipients":["7","8"]}"#,
        r#"{"op":5,"d":{},"t":"DISCONNECT_CLIENT"},"recipients":["9"]}"#,
    ] {
        assert_eq!(ear.next().await, ("ws_api".into(), format!("{head}{said}")));
    }
    settle(&[&one, &two]).await;
    assert_eq!(far.received(), "silent.all.@op/7/U.", "nothing arrives by both ways");
    assert_eq!(near.received(), "silent.local.near.@op/7/U.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_connected_from_its_first_socket_on_any_node_to_its_last() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let nodes = [&one, &two];
    let (phone, unknown) = (come(&one, "7"), one.node.add("p"));
    let stranger = one.node.add("other");
    one.node.join(&stranger, &user("9"));
    assert_eq!(written(&server, &nodes).await, these(&["7"], 2));
    let (laptop, other) = (come(&two, "7"), come(&two, "8"));
    assert_eq!(written(&server, &nodes).await, these(&["7", "8"], 4));
    go(&one, &phone);
    assert_eq!(written(&server, &nodes).await, these(&["7", "8"], 3), "a socket is left");
    two.node.hub.leave(&laptop.session, &user("7"));
    assert_eq!(written(&server, &nodes).await, these(&["8"], 3), "it belongs to nobody");
    two.node.join(&laptop, &user("9"));
    assert_eq!(written(&server, &nodes).await, these(&["8", "9"], 3));
    for (node, member) in [(&two, &laptop), (&two, &other), (&one, &unknown)] {
        go(node, member);
    }
    assert_eq!(written(&server, &nodes).await, these(&[], 0));
    let left = keys(&server).await;
    assert!(!left.iter().any(|key| key.contains("{p}")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_comes_with_a_seat_is_counted_as_well() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let socket = SocketId::on(node.redis.bus().node());
    let (shard, description) = (ShardName::new("chat").ok(), Some("{}".into()));
    let wish = SeatRequest { socket, shard, capacity: 4, overflow: false, project_max: None, description };
    node.redis.store().take_seat(&mesa().project, wish).await.expect("Redis answers");
    let member = node.node.add_as("p", socket);
    node.node.join(&member, &user("7"));
    assert_eq!(written(&server, &[&node]).await, these(&["7"], 1));
    go(&node, &member);
    node.redis.store().leave_seat(&mesa().project, &ShardName::new("chat").unwrap(), socket);
    assert_eq!(written(&server, &[&node]).await, these(&[], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_originals_wrote_stays_and_dead_nodes_take_only_their_share() {
    let server = RedisServer::start().await;
    let (survivor, dead) = (connect(&server).await, connect(&server).await);
    let kept = come(&survivor, "7");
    let lost: Vec<Member> = ["7", "8", "8", "9"].iter().map(|id| come(&dead, id)).collect();
    let _: i64 = run(&server, &["SADD", "connected_clients_api", "theirs"]).await;
    let _: i64 = run(&server, &["INCRBY", "connected_clients_count_api", "10"]).await;
    assert_eq!(written(&server, &[&survivor, &dead]).await, these(&["7", "8", "9", "theirs"], 15));
    drop(dead);
    until("its share is out", async || standing(&server).await == these(&["7", "theirs"], 11)).await;
    drop(lost);

    let plain = crate::support::connect(&server).await;
    drop(survivor);
    until("a node without a bridge sweeps, too", async || standing(&server).await == these(&["theirs"], 10))
        .await;
    until("nothing of ours is left", async || {
        !keys(&server).await.iter().any(|key| key.contains(":mirror:") || key.contains("{p}"))
    })
    .await;
    drop((kept, plain));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_takes_its_share_along() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (_a, _b) = (come(&one, "7"), come(&two, "8"));
    assert_eq!(written(&server, &[&one, &two]).await, these(&["7", "8"], 2));
    one.redis.leave().await;
    assert_eq!(standing(&server).await, these(&["8"], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_bridged_yet_leaves_nobody_behind() {
    let server = RedisServer::start().await;
    let (old, new) = (crate::support::connect(&server).await, connect(&server).await);
    let (first, second) = (come(&old, "7"), come(&new, "7"));
    assert_eq!(written(&server, &[&old, &new]).await, these(&["7"], 1));
    go(&new, &second);
    assert_eq!(written(&server, &[&old, &new]).await, these(&[], 0));
    go(&old, &first);
    assert_eq!(written(&server, &[&old, &new]).await, these(&[], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_is_back_after_a_restart_that_lost_everything() {
    let mut server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (_a, _b, _c) = (come(&one, "7"), come(&two, "7"), come(&two, "8"));
    assert_eq!(written(&server, &[&one, &two]).await, these(&["7", "8"], 3));
    server.kill();
    until("the loss is noticed", async || !one.redis.store().is_up() && !two.redis.store().is_up()).await;
    server.run_again().await;
    until("all is written again", async || standing(&server).await == these(&["7", "8"], 3)).await;
    until("it hears again", async || publish(&server, "ws_api", "{}").await == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stands_in_the_keys_nothing_fails() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let _: String = run(&server, &["SET", "connected_clients_api", "a text"]).await;
    let _: i64 = run(&server, &["HSET", "connected_clients_count_api", "a", "hash"]).await;
    let first = come(&node, "7");
    assert_eq!(node.redis.store().count_users(&mesa().project).await.unwrap(), 1);
    let _: i64 = run(&server, &["DEL", "connected_clients_api", "connected_clients_count_api"]).await;
    let second = come(&node, "7");
    assert_eq!(written(&server, &[&node]).await, these(&["7"], 1), "the next socket writes it");
    go(&node, &first);
    go(&node, &second);
    assert_eq!(written(&server, &[&node]).await, these(&[], 0), "there are never less than none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_is_exact_however_sockets_come_and_go() {
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut here: Vec<(usize, String, Member)> = Vec::new();
    for round in 0..600 {
        if here.is_empty() || random(5) < 3 {
            let (place, id) = (random(2), random(12).to_string());
            here.push((place, id.clone(), come(&nodes[place], &id)));
        } else {
            let (place, _, member) = here.swap_remove(random(here.len()));
            go(&nodes[place], &member);
        }
        if round % 60 == 0 {
            let mut users: Vec<String> = here.iter().map(|(_, id, _)| id.clone()).collect();
            users.sort();
            users.dedup();
            let standing = written(&server, &[&nodes[0], &nodes[1]]).await;
            assert_eq!(standing, (users, here.len() as i64), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_kinds_of_originals_can_be_there_in_one_project() {
    let server = RedisServer::start().await;
    let emit = EmitBridge { project: mesa().project, ..EmitBridge::default() };
    let options = Options { emit: Some(emit), mesa: Some(mesa()), ..options(&server) };
    let both = node(Redis::connect(options.clone()).await.unwrap());
    let survivor = node(Redis::connect(options).await.unwrap());
    let member = come(&both, "7");
    assert_eq!(written(&server, &[&both]).await, these(&["7"], 1));
    assert_eq!(run::<Vec<String>>(&server, &["HKEYS", "emit.gg:users"]).await, ["7"]);
    settle(&[&both, &survivor]).await;
    say(&server, "mesa", r#"["7"]"#).await;
    publish(&server, "emit.gg", r#"{"_instance":"a","event":"emit"}"#).await;
    until("both are heard", async || member.received() == "mesa.emit.").await;
    drop(both);
    until("its share is out", async || standing(&server).await == these(&[], 0)).await;
    until("and its copies", async || !keys(&server).await.iter().any(|key| key.starts_with("emit.gg"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_is_not_stored_where_that_is_off_and_dispatchers_are_heard() {
    let server = RedisServer::start().await;
    let silent = connect_as(&server, MesaBridge { stores_connected: false, servers: true, ..mesa() }).await;
    let member = come(&silent, "7");
    assert_eq!(written(&server, &[&silent]).await, these(&[], 0));
    assert!(keys(&server).await.iter().all(|key| key.starts_with("switchboard:")), "nothing of theirs");
    assert_eq!(silent.redis.store().count_users(&mesa().project).await.unwrap(), 1, "nodes know it");

    let other = connect(&server).await;
    let stored = come(&other, "8");
    settle(&[&silent, &other]).await;
    say(&server, "dispatched", r#"["7"]"#).await;
    until("it is heard", async || member.received() == "dispatched.").await;
    go(&silent, &member);
    assert_eq!(written(&server, &[&silent, &other]).await, these(&["8"], 1), "what another node stored");
    go(&other, &stored);
    assert_eq!(written(&server, &[&silent, &other]).await, these(&[], 0));
}

#[tokio::test]
async fn a_cluster_is_not_bridged() {
    let mesa = Some(mesa());
    let options = Options { mesa, mode: Mode::Cluster, ..Options::new("redis://127.0.0.1:1") };
    assert!(matches!(Redis::connect(options).await, Err(ConnectError::Options(_))));
}
