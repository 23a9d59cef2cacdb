//! Sends to many users go to each node once.

use std::time::Duration;

use switchboard_backplane::Backplane;
use switchboard_event::{Audience, Target};
use switchboard_hub::Scope;
use switchboard_testkit::RedisServer;
use switchboard_testkit::contract::Member;

use crate::support::{RedisNode, connect, settle, until};

const USERS: usize = 30;

fn user(n: usize) -> Target {
    Target::user(&format!("user-{n}")).unwrap()
}

fn room() -> Target {
    Target::room("lobby").unwrap()
}

fn crowd() -> Audience {
    crowd_of(USERS)
}

fn crowd_of(users: usize) -> Audience {
    Audience { to: (0..users).map(user).collect(), except: Vec::new() }
}

/// How many messages a Redis was asked to publish so far.
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

/// Until all hear what is sent, and the store says who is where.
async fn ready(nodes: &[&RedisNode]) {
    settle(nodes).await;
    for node in nodes {
        node.redis.store().settled().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_to_many_users_is_published_once_for_each_of_their_nodes() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (three, idle) = (connect(&server).await, connect(&server).await);
    let own = join(&one, &[user(0)]);
    let on_two: Vec<Member> = (1..20).map(|n| join(&two, &[user(n)])).collect();
    let of_both = join(&two, &[user(20), user(21)]);
    let on_three = join(&three, &[user(1)]);
    let stranger = join(&three, &[Target::user("stranger").unwrap()]);
    let other = join(&idle, &[room()]);
    ready(&[&one, &two, &three, &idle]).await;

    let before = published(&server).await;
    one.node.send("p", crowd(), "said", Scope::AllNodes);
    one.node.send("p", crowd().except(user(1)), "but", Scope::AllNodes);
    for member in on_two[1..].iter().chain([&of_both, &own]) {
        until("it is heard", async || member.received().ends_with("but.")).await;
        assert_eq!(member.received(), "said.but.", "once, by who is two of them as well");
    }
    until("it is heard", async || on_three.received() == "said.").await;
    assert_eq!(published(&server).await - before, 4, "two nodes, two messages");
    settle(&[&one, &two, &three, &idle]).await;
    assert_eq!((on_two[0].received(), on_three.received()), ("said.".into(), "said.".into()));
    assert_eq!((stranger.received(), other.received()), (String::new(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_to_so_many_that_every_node_has_some_is_published_once_for_all() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (own, other) = (join(&one, &[user(0)]), join(&two, &[user(1)]));
    let of_both = join(&two, &[user(2), room()]);
    let stranger = join(&two, &[Target::user("stranger").unwrap()]);
    ready(&[&one, &two]).await;

    let before = published(&server).await;
    one.node.send("p", crowd_of(32), "said", Scope::AllNodes);
    one.node.send("p", crowd_of(32).and(room()), "too", Scope::AllNodes);
    one.node.send("p", crowd_of(32).except(user(1)), "but", Scope::AllNodes);
    for member in [&own, &of_both] {
        until("it is heard", async || member.received().ends_with("but.")).await;
    }
    assert_eq!(published(&server).await - before, 4, "three messages for all, and one for the room");
    settle(&[&one, &two]).await;
    assert_eq!((own.received(), of_both.received()), ("said.too.but.".into(), "said.too.but.".into()));
    assert_eq!((other.received(), stranger.received()), ("said.too.".into(), String::new()));
}

/// The first and the second node have users; the third one has some only at the end.
pub(crate) async fn no_node_hears_of_a_crowd_that_it_has_none_of(
    [one, two, three]: [&RedisNode; 3],
    servers: &[RedisServer],
) {
    let own = join(one, &[user(0)]);
    let on_two = [join(two, &[user(1)]), join(two, &[user(47)])];
    let stranger = join(three, &[Target::user("stranger").unwrap()]);
    ready(&[one, two, three]).await;

    let before = published_by(servers).await;
    one.node.send("p", crowd_of(48), "said", Scope::AllNodes);
    for member in on_two.iter().chain([&own]) {
        until("it is heard", async || member.received() == "said.").await;
    }
    assert_eq!(published_by(servers).await - before, 1, "to the one other node that has some");

    let late = join(three, &[user(46)]);
    ready(&[one, two, three]).await;
    let before = published_by(servers).await;
    one.node.send("p", crowd_of(48), "again", Scope::AllNodes);
    for member in on_two.iter().chain([&own, &late]) {
        until("it is heard", async || member.received().ends_with("again.")).await;
    }
    assert_eq!(published_by(servers).await - before, 1, "to all nodes, since all have some");
    settle(&[one, two, three]).await;
    assert_eq!((late.received(), stranger.received()), ("again.".into(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_hears_what_is_for_many_users_and_none_of_its_own() {
    let servers = [RedisServer::start().await];
    let [one, two, three] =
        [connect(&servers[0]).await, connect(&servers[0]).await, connect(&servers[0]).await];
    no_node_hears_of_a_crowd_that_it_has_none_of([&one, &two, &three], &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_several_targets_of_a_large_send_hears_it_once() {
    let server = RedisServer::start().await;
    let (one, two, three) = (connect(&server).await, connect(&server).await, connect(&server).await);
    let (both, user_only) = (join(&two, &[user(3), room()]), join(&two, &[user(4)]));
    let (room_only, direct) = (join(&three, &[room()]), join(&three, &[]));
    ready(&[&one, &two, &three]).await;
    let audience = crowd().and(room()).and(direct.session.id);
    one.node.send("p", audience, "said", Scope::AllNodes);
    for member in [&both, &user_only, &room_only, &direct] {
        until("it is heard", async || !member.received().is_empty()).await;
    }
    settle(&[&one, &two, &three]).await;
    for member in [&both, &user_only, &room_only, &direct] {
        assert_eq!(member.received(), "said.");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_sends_arrive_in_their_order() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let member = join(&two, &[user(3), room()]);
    ready(&[&one, &two]).await;
    let mut expected = String::new();
    for n in 0..30 {
        one.node.send("p", crowd(), &format!("c{n}"), Scope::AllNodes);
        one.node.send("p", room(), &format!("r{n}"), Scope::AllNodes);
        one.node.send("p", user(3), &format!("u{n}"), Scope::AllNodes);
        expected += &format!("c{n}.r{n}.u{n}.");
    }
    until("all are heard", async || member.received().len() >= expected.len()).await;
    assert_eq!(member.received(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_the_script_is_told_it_again() {
    let server = RedisServer::start().await;
    let (one, two) = (connect(&server).await, connect(&server).await);
    let member = join(&two, &[user(3)]);
    ready(&[&one, &two]).await;
    assert_eq!(server.ask("SCRIPT FLUSH").await, "+OK");
    until("it is heard again", async || {
        one.node.send("p", crowd(), "said", Scope::AllNodes);
        tokio::time::sleep(Duration::from_millis(20)).await;
        !member.received().is_empty()
    })
    .await;
}
