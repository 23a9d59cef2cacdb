//! Sends to many users are published once per node, or once for all nodes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use switchboard_backplane::Backplane;
use switchboard_event::{Audience, SocketId, Target};
use switchboard_hub::Scope;
use switchboard_testkit::{Member, RedisServer};

use crate::support::{RedisNode, connect, settle, until};

const USERS: usize = 30;

fn user(n: usize) -> Target {
    Target::user(&format!("user-{n}")).unwrap()
}

fn room() -> Target {
    Target::room("lobby").unwrap()
}

fn all_users() -> Audience {
    first_users(USERS)
}

fn first_users(users: usize) -> Audience {
    Audience { to: (0..users).map(user).collect(), except: Vec::new() }
}

/// The number of publish commands that a Redis server has executed.
async fn published(server: &RedisServer) -> u64 {
    let info = server.ask_text("INFO commandstats").await;
    let calls = |command: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(command)?.strip_prefix(":calls="))?;
        line.split(',').next()?.parse::<u64>().ok()
    };
    ["cmdstat_publish", "cmdstat_spublish"].into_iter().filter_map(calls).sum()
}

async fn published_by(servers: &[RedisServer]) -> u64 {
    let mut all = 0;
    for server in servers {
        all += published(server).await;
    }
    all
}

fn join(node: &RedisNode, targets: &[Target]) -> Member {
    let member = node.node.add("p");
    targets.iter().for_each(|target| node.node.join(&member, target));
    member
}

/// Waits until the subscriptions are active and the store knows the nodes of all users.
async fn ready(nodes: &[&RedisNode]) {
    settle(nodes).await;
    for node in nodes {
        node.redis.store().settled().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_to_many_users_is_published_once_per_node_with_recipients() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (three, idle) = (connect(&server).await, connect(&server).await);
    let local = join(&one, &[user(0)]);
    let on_two: Vec<Member> = (1..20).map(|n| join(&two, &[user(n)])).collect();
    let two_users = join(&two, &[user(20), user(21)]);
    let on_three = join(&three, &[user(1)]);
    let other_user = join(&three, &[Target::user("other_user").unwrap()]);
    let other = join(&idle, &[room()]);
    ready(&[&one, &two, &three, &idle]).await;

    let before = published(&server).await;
    one.node.send("p", all_users(), "event", Scope::AllNodes);
    one.node.send("p", all_users().except(user(1)), "but", Scope::AllNodes);
    for member in on_two[1..].iter().chain([&two_users, &local]) {
        until("the event arrives", async || member.received().ends_with("but.")).await;
        assert_eq!(member.received(), "event.but.", "each socket receives each event once");
    }
    until("the event arrives", async || on_three.received() == "event.").await;
    assert_eq!(published(&server).await - before, 4, "two nodes, two messages");
    settle(&[&one, &two, &three, &idle]).await;
    assert_eq!((on_two[0].received(), on_three.received()), ("event.".into(), "event.".into()));
    assert_eq!((other_user.received(), other.received()), (String::new(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_with_recipients_on_every_node_is_published_once_for_all() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (local, other) = (join(&one, &[user(0)]), join(&two, &[user(1)]));
    let two_users = join(&two, &[user(2), room()]);
    let other_user = join(&two, &[Target::user("other_user").unwrap()]);
    ready(&[&one, &two]).await;

    let before = published(&server).await;
    one.node.send("p", first_users(32), "event", Scope::AllNodes);
    one.node.send("p", first_users(32).and(room()), "too", Scope::AllNodes);
    one.node.send("p", first_users(32).except(user(1)), "but", Scope::AllNodes);
    for member in [&local, &two_users] {
        until("the event arrives", async || member.received().ends_with("but.")).await;
    }
    assert_eq!(published(&server).await - before, 4, "three messages for all, and one for the room");
    settle(&[&one, &two]).await;
    assert_eq!((local.received(), two_users.received()), ("event.too.but.".into(), "event.too.but.".into()));
    assert_eq!((other.received(), other_user.received()), ("event.too.".into(), String::new()));
}

/// Sends to many users with recipients on the first two nodes, and later also on the third.
pub(crate) async fn assert_nodes_without_recipients_receive_nothing(
    [one, two, three]: [&RedisNode; 3],
    servers: &[RedisServer],
) {
    let local = join(one, &[user(0)]);
    let on_two = [join(two, &[user(1)]), join(two, &[user(47)])];
    let other_user = join(three, &[Target::user("other_user").unwrap()]);
    ready(&[one, two, three]).await;

    let before = published_by(servers).await;
    one.node.send("p", first_users(48), "event", Scope::AllNodes);
    for member in on_two.iter().chain([&local]) {
        until("the event arrives", async || member.received() == "event.").await;
    }
    assert_eq!(published_by(servers).await - before, 1, "only to the other node with recipients");

    let late = join(three, &[user(46)]);
    ready(&[one, two, three]).await;
    let before = published_by(servers).await;
    one.node.send("p", first_users(48), "again", Scope::AllNodes);
    for member in on_two.iter().chain([&local, &late]) {
        until("the event arrives", async || member.received().ends_with("again.")).await;
    }
    assert_eq!(
        published_by(servers).await - before,
        1,
        "one publication for all nodes, since all have recipients"
    );
    settle(&[one, two, three]).await;
    assert_eq!((late.received(), other_user.received()), ("again.".into(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_recipients_does_not_receive_a_large_send() {
    let servers = [RedisServer::start().await];
    let [one, two, three] =
        [connect(&servers[0]).await, connect(&servers[0]).await, connect(&servers[0]).await];
    assert_nodes_without_recipients_receive_nothing([&one, &two, &three], &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_several_targets_of_a_large_send_receives_it_once() {
    let server = RedisServer::start().await;
    let (one, two, three) = (connect(&server).await, connect(&server).await, connect(&server).await);
    let (both, user_only) = (join(&two, &[user(3), room()]), join(&two, &[user(4)]));
    let (room_only, direct) = (join(&three, &[room()]), join(&three, &[]));
    ready(&[&one, &two, &three]).await;
    let audience = all_users().and(room()).and(direct.session.id);
    one.node.send("p", audience, "event", Scope::AllNodes);
    for member in [&both, &user_only, &room_only, &direct] {
        until("the event arrives", async || !member.received().is_empty()).await;
    }
    settle(&[&one, &two, &three]).await;
    for member in [&both, &user_only, &room_only, &direct] {
        assert_eq!(member.received(), "event.");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_sends_keep_their_order() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let member = join(&two, &[user(3), room()]);
    ready(&[&one, &two]).await;
    let mut expected = String::new();
    for n in 0..30 {
        one.node.send("p", all_users(), &format!("c{n}"), Scope::AllNodes);
        one.node.send("p", room(), &format!("r{n}"), Scope::AllNodes);
        one.node.send("p", user(3), &format!("u{n}"), Scope::AllNodes);
        expected += &format!("c{n}.r{n}.u{n}.");
    }
    until("all events arrive", async || member.received().len() >= expected.len()).await;
    assert_eq!(member.received(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_redis_lost_is_loaded_again() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let member = join(&two, &[user(3)]);
    ready(&[&one, &two]).await;
    assert_eq!(server.ask("SCRIPT FLUSH").await, "+OK");
    until("sends arrive again", async || {
        one.node.send("p", all_users(), "event", Scope::AllNodes);
        tokio::time::sleep(Duration::from_millis(20)).await;
        !member.received().is_empty()
    })
    .await;
}

/// How often a Redis server has executed a command, also in scripts.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let info = server.ask_text("INFO commandstats").await;
    let head = format!("cmdstat_{command}:calls=");
    let line = info.lines().find_map(|line| line.strip_prefix(&head));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_to_many_unknown_users_costs_few_lookups() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let known = join(&two, &[user(999)]);
    ready(&[&one, &two]).await;
    let counts =
        async || (calls(&server, "zmscore").await, calls(&server, "zrange").await, published(&server).await);
    let before = counts().await;
    one.node.send("p", first_users(1000), "event", Scope::AllNodes);
    until("the event arrives", async || known.received() == "event.").await;
    let after = counts().await;
    assert!(after.0 - before.0 < 10, "the unknown users are looked up together");
    // The renewal of a lease reads a range, too.
    assert!(after.1 - before.1 < 10, "only the known one has nodes");
    assert_eq!(after.2 - before.2, 1, "only the known one has nodes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_to_very_many_targets_is_one_publication_without_a_lookup() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (in_room, of_user) = (join(&two, &[room()]), join(&two, &[user(7), user(8)]));
    let other = join(&two, &[]);
    ready(&[&one, &two]).await;
    let rooms = (0..100).map(|n| Target::room(&format!("{n}")).unwrap());
    let unknown = (0..100).map(|_| Target::Socket(SocketId::random()));
    for audience in [
        first_users(20_000).and(room()),
        Audience { to: rooms.chain([room(), user(8)]).collect(), except: Vec::new() },
        Audience { to: unknown.chain([in_room.session.id.into(), user(7)]).collect(), except: Vec::new() },
    ] {
        let before = (calls(&server, "zmscore").await, published(&server).await);
        one.node.send("p", audience, "event", Scope::AllNodes);
        settle(&[&one, &two]).await;
        // Settling publishes a mark of each node.
        let after = (calls(&server, "zmscore").await, published(&server).await);
        assert_eq!((after.0 - before.0, after.1 - before.1), (0, 3));
    }
    for member in [&in_room, &of_user] {
        assert_eq!(member.received(), "event.event.event.", "one copy of each");
    }
    assert_eq!(other.received(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_no_node_receives_is_counted() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let _known = join(&two, &[user(7)]);
    ready(&[&one, &two]).await;
    let unreached = || one.node.hub.stats().unreached.load(Ordering::Relaxed);
    one.node.send("p", user(7), "one", Scope::AllNodes);
    one.node.send("p", first_users(100), "many", Scope::AllNodes);
    one.node.send("p", room(), "a room may be empty", Scope::AllNodes);
    settle(&[&one, &two]).await;
    assert_eq!(unreached(), 0);
    one.node.send("p", user(1), "one", Scope::AllNodes);
    one.node.send("p", Audience::from(user(1)).and(user(2)), "two", Scope::AllNodes);
    one.node.send(
        "p",
        Audience { to: (10..100).map(user).collect(), except: Vec::new() },
        "many",
        Scope::AllNodes,
    );
    until("all are counted", async || unreached() == 3).await;
}
