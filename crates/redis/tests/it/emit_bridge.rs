//! The bridge to legacy emit.gg nodes: the keys and the channel messages that they share with ours. The
//! tests read and write them as a legacy node does.

use std::time::Duration;

use switchboard_backplane::{Backplane, Page, SeatRequest};
use switchboard_event::{Audience, ProjectId, ShardName, SocketId, Target, UserId};
use switchboard_hub::Scope;
use switchboard_redis::{ConnectError, EmitBridge, Mode, Options, Redis};
use switchboard_testkit::{Member, RedisServer};

use crate::channels::{ChannelProbe, publish};
use crate::support::{RedisNode, keys, node, options, query, run, settle, until};

fn bridged_options(server: &RedisServer) -> Options {
    Options { emit: Some(EmitBridge::default()), ..options(server) }
}

async fn connect(server: &RedisServer) -> RedisNode {
    node(Redis::connect(bridged_options(server)).await.expect("Redis answers"))
}

fn project() -> ProjectId {
    ProjectId::new("default").unwrap()
}

fn room() -> Target {
    Target::room("chat").unwrap()
}

fn vip() -> Target {
    Target::tag("vip").unwrap()
}

fn seven() -> Target {
    Target::user("7").unwrap()
}

async fn count(node: &RedisNode, target: &Target) -> usize {
    node.redis.store().count(&project(), target).await.expect("Redis answers")
}

/// The channel and the text of the next message, which must come from a node of ours, without its instance id.
async fn next(probe: &mut ChannelProbe) -> String {
    let (channel, message) = probe.next().await;
    let rest =
        message.strip_prefix(r#"{"_instance":"switchboard:"#).expect("the message is from a node of ours");
    format!("{channel} {}", &rest[rest.find(',').unwrap()..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_nodes_receive_the_events_that_they_can_handle() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (near, far) = (one.node.add("default"), two.node.add("default"));
    two.node.join(&far, &seven());
    settle(&[&one, &two]).await;
    let legacy_id: SocketId = "6442ed88-9f5b-4c3e-8f5a-0123456789ab".parse().unwrap();
    let entry = format!(r#"{{"socketId":"{legacy_id}","server":"vnztps84","onlineAt":1}}"#);
    let _: i64 = run(&server, &["HSET", "emit.gg:users", "8", &entry, "9", "no entry"]).await;
    until("the presence is written", async || count(&one, &Target::Everyone).await == 2).await;

    let mut probe = ChannelProbe::open(&server, &["emit.gg", "emit.gg:direct"]).await;
    until_socket_is_known(&one, &far, &mut probe).await;
    let send = |audience: Audience, event: &str| one.node.send("default", audience, event, Scope::AllNodes);
    send(Target::Everyone.into(), "all");
    send(Audience::everyone().and(room()).except(near.session.id), "once");
    send(Audience::from(room()).and(vip()).and(room()).except(vip()), "room");
    send(Audience::from(vip()).except(Target::Everyone), "nobody");
    one.node.send("default", Target::Everyone, "local", Scope::ThisNode);
    one.node.send("other", Target::Everyone, "other", Scope::AllNodes);
    send(Target::Socket(near.session.id).into(), "near");
    send(Target::Socket(far.session.id).into(), "far");
    send(Target::Socket(legacy_id).into(), "direct");
    for user in ["7", "8", "9", "nobody"] {
        send(Target::user(user).unwrap().into(), &format!("user{user}"));
    }
    // Names that emit clients reserve; a Koji client may have chosen them.
    for reserved in ["@disconnect", "@error", "@@KOJI_DISPATCH/CONNECTED"] {
        send(vip().into(), reserved);
    }
    send(vip().into(), "end");
    assert_eq!(next(&mut probe).await, r#"emit.gg ,"event":"all","data":{}}"#);
    assert_eq!(next(&mut probe).await, r#"emit.gg ,"event":"once","data":{}}"#);
    assert_eq!(next(&mut probe).await, r##"emit.gg ,"event":"room","data":{},"to":"#chat"}"##);
    let direct = |event: &str| {
        format!(r#"emit.gg:direct ,"targetSocketId":"{legacy_id}","event":"{event}","data":{{}}}}"#)
    };
    assert_eq!(next(&mut probe).await, direct("direct"));
    assert_eq!(next(&mut probe).await, direct("user8"));
    assert_eq!(next(&mut probe).await, r#"emit.gg ,"event":"end","data":{},"to":"*vip"}"#);
    settle(&[&one, &two]).await;
    let received = far.received().replace("early.", "");
    assert_eq!(received, "all.once.far.user7.", "no event arrives by both the bus and the bridge");
    assert_eq!(near.received(), "all.local.near.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_only_those_on_legacy_nodes_are_published_to() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    settle(&[&node]).await;
    let id = |n: usize| format!("6442ed88-9f5b-4c3e-8f5a-{n:0>12}");
    let entry = |server: &str| format!(r#"{{"server":"{server}","connectedAt":1}}"#);
    let user = format!(r#"{{"socketId":"{}","server":"vnztps84","onlineAt":1}}"#, id(8));
    let _: i64 = run(&server, &["HSET", "emit.gg:users", "8", &user, "9", "no entry"]).await;
    let (legacy, ours) = (entry("vnztps84"), entry("switchboard:00000007"));
    let _: i64 =
        run(&server, &["HSET", "emit.gg:sockets", &id(1), &legacy, &id(2), &ours, &id(3), "{"]).await;
    let mut probe = ChannelProbe::open(&server, &["emit.gg", "emit.gg:direct"]).await;
    let users = (0..3000).map(|n| Target::user(&n.to_string()).unwrap());
    let sockets = (1..3000).map(|n| Target::Socket(id(n).parse().unwrap()));
    let audience = Audience { to: users.chain(sockets).collect(), except: Vec::new() };
    node.node.send("default", audience, "many", Scope::AllNodes);
    node.node.send("default", vip(), "end", Scope::AllNodes);
    for n in [8, 1] {
        let direct = format!(r#"emit.gg:direct ,"targetSocketId":"{}","event":"many","data":{{}}}}"#, id(n));
        assert_eq!(next(&mut probe).await, direct);
    }
    assert!(next(&mut probe).await.contains("\"end\""), "nobody else");
}

/// Waits until a node knows the socket of another node; before, it treats the socket as possibly a legacy one.
async fn until_socket_is_known(one: &RedisNode, far: &Member, probe: &mut ChannelProbe) {
    until("the socket is known", async || {
        one.node.send("default", Target::Socket(far.session.id), "early", Scope::AllNodes);
        one.node.send("default", vip(), "mark", Scope::AllNodes);
        let is_unknown = next(probe).await.contains("early");
        if is_unknown {
            assert!(next(probe).await.contains("mark"));
        }
        !is_unknown
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_legacy_nodes_reach_the_sockets_of_every_node_once() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (a, b, in_other_project) = (one.node.add("default"), two.node.add("default"), two.node.add("other"));
    for (node, member) in [(&one, &a), (&two, &b), (&two, &in_other_project)] {
        node.node.join(member, &room());
    }
    two.node.join(&b, &vip());
    settle(&[&one, &two]).await;
    let publish_as_legacy = async |rest: &str| {
        let message = format!(r#"{{"_instance":"vnztps84",{rest}}}"#);
        assert_eq!(publish(&server, "emit.gg", &message).await, 2);
    };
    publish_as_legacy(r#""event":"all","data":{}"#).await;
    publish_as_legacy(r##""event":"room","data":1,"to":"#chat""##).await;
    publish_as_legacy(r#""event":"vip","to":"*vip""#).await;
    let deep = format!(r#"{{"event":"e","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for garbage in ["", "{", "[]", &deep, r#"{"event":7}"#, r#"{"event":"e","to":"chat"}"#, "\u{0}\u{ffff}"] {
        publish(&server, "emit.gg", garbage).await;
        publish(&server, "emit.gg:direct", garbage).await;
    }
    let ours = r#"{"_instance":"switchboard:00000000","event":"ours","data":{}}"#;
    publish(&server, "emit.gg", ours).await;
    for id in [a.session.id, b.session.id, in_other_project.session.id, SocketId::random()] {
        let message = format!(r#"{{"_instance":"vnztps84","targetSocketId":"{id}","event":"direct"}}"#);
        publish(&server, "emit.gg:direct", &message).await;
    }
    until("the last event arrives", async || b.received().ends_with("direct.")).await;
    until("the last event arrives", async || a.received().ends_with("direct.")).await;
    settle(&[&one, &two]).await;
    assert_eq!(a.received(), "all.room.direct.");
    assert_eq!(b.received(), "all.room.vip.direct.");
    assert_eq!(in_other_project.received(), "", "the bridge serves one project");
}

/// The entries of the legacy keys.
async fn copies(server: &RedisServer) -> [Vec<String>; 4] {
    let mut copies = [
        run::<Vec<String>>(server, &["HKEYS", "emit.gg:sockets"]).await,
        run(server, &["SMEMBERS", "emit.gg:room:#chat"]).await,
        run(server, &["SMEMBERS", "emit.gg:tag:*vip"]).await,
        run(server, &["HKEYS", "emit.gg:users"]).await,
    ];
    copies.iter_mut().for_each(|list| list.sort());
    copies
}

/// The socket and the server of user 7.
async fn user_seven(server: &RedisServer) -> (String, String) {
    let entry: String = run(server, &["HGET", "emit.gg:users", "7"]).await;
    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
    assert!(entry["onlineAt"].as_u64().unwrap() > 1_600_000_000_000);
    let text = |field: &str| entry[field].as_str().unwrap().to_owned();
    (text("socketId"), text("server"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected_sockets_are_copied_to_the_legacy_keys() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (a, b, other) = (one.node.add("default"), two.node.add("default"), one.node.add("other"));
    for target in [room(), vip(), seven()] {
        one.node.join(&a, &target);
    }
    one.node.join(&other, &room());
    assert_eq!(count(&one, &seven()).await, 1);
    two.node.join(&b, &seven());
    assert_eq!(count(&two, &seven()).await, 2);
    let [id_a, id_b] = [&a, &b].map(|member| member.session.id.to_string());
    let mut both = vec![id_a.clone(), id_b.clone()];
    both.sort();
    assert_eq!(copies(&server).await, [both, vec![id_a.clone()], vec![id_a.clone()], vec!["7".into()]]);
    let entry: String = run(&server, &["HGET", "emit.gg:sockets", &id_a]).await;
    let head = format!(r#"{{"server":"switchboard:{}","connectedAt":1"#, &id_a[..8]);
    assert!(entry.starts_with(&head), "{entry}");
    let ttl: i64 = run(&server, &["TTL", "emit.gg:room:#chat"]).await;
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");
    assert_eq!(user_seven(&server).await.0, id_b, "the entry names the socket of the last login");

    two.node.hub.leave(&b.session, &seven());
    assert_eq!(count(&two, &seven()).await, 1);
    let expected = (id_a.clone(), format!("switchboard:{}", &id_a[..8]));
    assert_eq!(user_seven(&server).await, expected, "the entry names a connected socket");
    one.node.hub.remove(&a.session);
    assert_eq!(count(&one, &Target::Everyone).await, 1);
    assert_eq!(copies(&server).await, [vec![id_b], vec![], vec![], vec![]]);
    two.node.hub.remove(&b.session);
    assert_eq!(count(&two, &Target::Everyone).await, 0);
    let left = keys(&server).await;
    assert!(!left.iter().any(|key| key.starts_with("emit.gg")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_dead_node_are_removed_even_by_a_node_without_a_bridge() {
    let server = RedisServer::start().await;
    let (survivor, dead) = (connect(&server).await, connect(&server).await);
    let (kept, lost) = (survivor.node.add("default"), dead.node.add("default"));
    for target in [room(), vip(), seven()] {
        survivor.node.join(&kept, &target);
    }
    assert_eq!(count(&survivor, &seven()).await, 1);
    for target in [room(), vip(), seven(), Target::user("8").unwrap()] {
        dead.node.join(&lost, &target);
    }
    assert_eq!(count(&dead, &seven()).await, 2);
    let legacy_id = "6442ed88-9f5b-4c3e-8f5a-0123456789ab";
    let _: i64 = run(&server, &["SADD", "emit.gg:room:#chat", legacy_id]).await;
    drop(dead);
    let kept_id = kept.session.id.to_string();
    let mut in_room = vec![kept_id.clone(), legacy_id.into()];
    in_room.sort();
    let expected = [vec![kept_id.clone()], in_room, vec![kept_id.clone()], vec!["7".into()]];
    until("the copies of the dead node are removed", async || copies(&server).await == expected).await;
    assert_eq!(user_seven(&server).await.0, kept_id);

    let plain = crate::support::connect(&server).await;
    drop(survivor);
    let expected = [vec![], vec![legacy_id.to_owned()], vec![], vec![]];
    until("the copies of the last node are removed", async || copies(&server).await == expected).await;
    until("no key of ours remains", async || {
        !keys(&server).await.iter().any(|key| key.contains(":mirror:") || key.contains("{default}"))
    })
    .await;
    drop(plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_removes_its_copies() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let member = node.node.add("default");
    for target in [room(), vip(), seven()] {
        node.node.join(&member, &target);
    }
    assert_eq!(count(&node, &room()).await, 1);
    node.redis.leave().await;
    assert_eq!(copies(&server).await, [const { Vec::<String>::new() }; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_sockets_are_counted_and_listed_with_ours() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let ours = node.node.add("default");
    for target in [room(), vip(), seven()] {
        node.node.join(&ours, &target);
    }
    let mut legacy_ids: Vec<SocketId> = (0..2500).map(|_| SocketId::random()).collect();
    let user = legacy_ids[0];
    for chunk in legacy_ids.chunks(500) {
        let (mut sockets, mut members) = (redis::cmd("HSET"), redis::cmd("SADD"));
        sockets.arg("emit.gg:sockets");
        members.arg("emit.gg:room:#chat");
        for id in chunk {
            sockets.arg(id.to_string()).arg("{}");
            members.arg(id.to_string());
        }
        let _: (i64, i64) = (query(&server, &sockets).await, query(&server, &members).await);
    }
    let _: i64 = run(&server, &["SADD", "emit.gg:tag:*vip", "no id", &user.to_string()]).await;
    let entry = |id: SocketId| format!(r#"{{"socketId":"{id}","server":"a"}}"#);
    let users = ["HSET", "emit.gg:users", "8", &entry(user), "", "{}", "9", "no entry"];
    let _: i64 = run(&server, &users).await;

    assert_eq!(count(&node, &Target::Everyone).await, 2501);
    assert_eq!(count(&node, &room()).await, 2501);
    assert_eq!(count(&node, &vip()).await, 2, "an invalid id is not counted");
    for id in [user, ours.session.id] {
        assert_eq!(count(&node, &Target::Socket(id)).await, 1);
    }
    assert_eq!(count(&node, &Target::Socket(SocketId::random())).await, 0);
    let store = node.redis.store();
    legacy_ids.push(ours.session.id);
    legacy_ids.sort();
    assert_eq!(store.members(&project(), &room(), Page::all()).await.unwrap(), legacy_ids);
    let page = Page { after: Some(legacy_ids[9]), limit: 20 };
    assert_eq!(store.members(&project(), &Target::Everyone, page).await.unwrap(), legacy_ids[10..30]);
    let names = ["7", "8", "9"].map(|user| UserId::new(user).unwrap());
    assert_eq!(store.count_users(&project()).await.unwrap(), 3);
    assert_eq!(store.users(&project(), Page::all()).await.unwrap(), names);
    let page = Page { after: Some(names[0].clone()), limit: 1 };
    assert_eq!(store.users(&project(), page).await.unwrap(), names[1..2]);
    for (name, online) in names.iter().zip([1, 1, 0]) {
        assert_eq!(count(&node, &Target::user(name).unwrap()).await, online, "{name}");
    }
    let eight = Target::user("8").unwrap();
    assert_eq!(store.members(&project(), &eight, Page::all()).await.unwrap(), [user]);
    let other = ProjectId::new("other").unwrap();
    assert_eq!(store.count(&other, &Target::Everyone).await.unwrap(), 0, "the bridge serves one project");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_keys_of_the_wrong_type_block_nothing() {
    let server = RedisServer::start().await;
    for key in ["emit.gg:sockets", "emit.gg:room:#chat", "emit.gg:tag:*vip", "emit.gg:users"] {
        let _: String = run(&server, &["SET", key, "a text"]).await;
    }
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (a, b) = (one.node.add("default"), two.node.add("default"));
    for target in [room(), vip(), seven()] {
        one.node.join(&a, &target);
        two.node.join(&b, &target);
    }
    settle(&[&one, &two]).await;
    one.node.send("default", seven(), "user", Scope::AllNodes);
    one.node.send("default", room(), "room", Scope::AllNodes);
    until("sends arrive", async || b.received() == "user.room.").await;
    assert!(one.redis.store().count(&project(), &room()).await.is_err());
    one.node.hub.remove(&a.session);
    drop(one);
    for key in ["emit.gg:sockets", "emit.gg:room:#chat"] {
        let _: i64 = run(&server, &["DEL", key]).await;
    }
    until("our count is correct", async || count(&two, &room()).await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_with_a_seat_is_copied() {
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
    node.redis.store().take_seat(&project(), request).await.expect("Redis answers");
    let member = node.node.add_as("default", socket);
    node.node.join(&member, &room());
    assert_eq!((count(&node, &Target::Everyone).await, count(&node, &room()).await), (1, 1));
    let id = vec![socket.to_string()];
    assert_eq!(copies(&server).await, [id.clone(), id, vec![], vec![]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_sets_are_renewed_while_they_have_members() {
    let server = RedisServer::start().await;
    let bridge = EmitBridge { set_ttl: Duration::from_secs(12), ..EmitBridge::default() };
    let options = Options { emit: Some(bridge), ..bridged_options(&server) };
    let node = node(Redis::connect(options).await.unwrap());
    let member = node.node.add("default");
    node.node.join(&member, &room());
    assert_eq!(count(&node, &room()).await, 1);
    // Simulates that most of the lifetime has passed.
    let _: i64 = run(&server, &["PEXPIRE", "emit.gg:room:#chat", "5000"]).await;
    until("the lifetime is renewed", async || {
        run::<i64>(&server, &["PTTL", "emit.gg:room:#chat"]).await > 5000
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_restored_after_a_restart_with_empty_data() {
    let mut server = RedisServer::start().await;
    let node = connect(&server).await;
    let member = node.node.add("default");
    for target in [room(), vip(), seven()] {
        node.node.join(&member, &target);
    }
    let before = {
        assert_eq!(count(&node, &room()).await, 1);
        copies(&server).await
    };
    server.kill();
    until("the loss is noticed", async || !node.redis.store().is_up()).await;
    server.run_again().await;
    until("the copies are restored", async || copies(&server).await == before).await;
    until("the node is subscribed again", async || {
        node.redis.bus().is_up() && publish(&server, "emit.gg", r#"{"event":"e"}"#).await == 1
    })
    .await;
    until("the event arrives", async || member.received().starts_with("e.")).await;
}

#[tokio::test]
async fn the_bridge_is_refused_for_a_cluster() {
    let emit = Some(EmitBridge::default());
    let options = Options { emit, mode: Mode::Cluster, ..Options::new("redis://127.0.0.1:1") };
    assert!(matches!(Redis::connect(options).await, Err(ConnectError::Options(_))));
}
