//! Inbox limits: how nodes announce them, and how publishers apply them.

use futures_util::future::join_all;
use switchboard_backplane::{Backplane, InboxLimits};
use switchboard_event::{Event, Payload, UserId};
use switchboard_redis::{Options, Publisher};
use switchboard_testkit::RedisServer;
use switchboard_testkit::name;

use crate::support::{connect_with_inbox, options, query, run, until};

const LIMITS_KEY: &str = "switchboard:{*}:inboxes:limits";

/// The default limit of messages per user.
const DEFAULT_MAX: u64 = 1000;

fn event() -> Event {
    Event { name: name("event"), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None }
}

fn at_most(messages_max: u64) -> InboxLimits {
    InboxLimits { messages_max, ..InboxLimits::default() }
}

/// Limits with which a node announces its limits every 100 ms.
fn announced_often(messages_max: u64) -> InboxLimits {
    InboxLimits { age_max_ms: 200, ..at_most(messages_max) }
}

async fn publisher(server: &RedisServer) -> Publisher {
    Publisher::connect(options(server)).await.expect("Redis answers")
}

/// Stores `count` messages for a user through a publisher, and returns the number of messages that remain.
async fn stored_after(count: usize, publisher: &Publisher, server: &RedisServer, user: &str) -> u64 {
    let (project, users, event) = (name("p"), [name(user)] as [UserId; 1], event());
    let stored = join_all((0..count).map(|_| publisher.store(&project, &users, &event))).await;
    assert!(stored.into_iter().all(|stored| stored.expect("the message is stored").inboxes == 1));
    let elements: u64 = run(server, &["LLEN", &format!("switchboard:{{p}}:inbox:@{user}")]).await;
    elements / 2
}

async fn announced_limit(server: &RedisServer) -> Option<String> {
    run(server, &["HGET", LIMITS_KEY, "messages_max"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_applies_the_limits_of_the_nodes() {
    for max in [3, DEFAULT_MAX + 5] {
        let server = RedisServer::start().await;
        let node = connect_with_inbox(&server, at_most(max)).await;
        let publisher = publisher(&server).await;
        assert_eq!(stored_after(max as usize + 5, &publisher, &server, "7").await, max);
        // A publisher does not evict messages that a node has stored within the limits.
        let inbox = node.redis.inbox().expect("the options enable the inbox");
        let (project, users, event) = (name("p"), [name("8")], event());
        for stored in join_all((0..max).map(|_| inbox.put(&project, &users, &event))).await {
            stored.expect("the message is stored");
        }
        assert_eq!(stored_after(1, &publisher, &server, "8").await, max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_limits_apply_until_a_node_announces_others() {
    let server = RedisServer::start().await;
    let publisher = publisher(&server).await;
    assert_eq!(stored_after(DEFAULT_MAX as usize + 1, &publisher, &server, "7").await, DEFAULT_MAX);
    let _node = connect_with_inbox(&server, at_most(3)).await;
    until("the limit applies", async || stored_after(1, &publisher, &server, "7").await == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_publisher_override_those_of_the_nodes() {
    let server = RedisServer::start().await;
    let _node = connect_with_inbox(&server, at_most(3)).await;
    let own = Options { inbox: Some(at_most(7)), ..options(&server) };
    let publisher = Publisher::connect(own).await.expect("Redis answers");
    assert_eq!(stored_after(10, &publisher, &server, "7").await, 7);
    assert_eq!(announced_limit(&server).await.as_deref(), Some("3"), "only nodes announce limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_limits_in_redis_are_ignored() {
    let bounds = ["messages_max", "bytes_max", "age_max_ms", "project_messages_max", "project_bytes_max"];
    let with_messages_max = |value: &[u8]| {
        let mut command = redis::cmd("HSET");
        command.arg(LIMITS_KEY);
        for bound in bounds {
            command.arg(bound).arg(if bound == "messages_max" { value } else { b"1" });
        }
        command
    };
    let mut garbage: Vec<redis::Cmd> = [&b"many"[..], b"-1", b"\xff\xfe"].map(with_messages_max).into();
    let mut text = redis::cmd("SET");
    text.arg(LIMITS_KEY).arg("a text");
    let mut incomplete = redis::cmd("HSET");
    incomplete.arg(LIMITS_KEY).arg("messages_max").arg(3);
    garbage.extend([text, incomplete]);
    join_all(garbage.iter().map(assert_ignored)).await;
}

async fn assert_ignored(garbage: &redis::Cmd) {
    let server = RedisServer::start().await;
    let _: redis::Value = query(&server, garbage).await;
    let publisher = publisher(&server).await;
    let stored = async |count| stored_after(count, &publisher, &server, "7").await;
    assert_eq!(stored(DEFAULT_MAX as usize + 1).await, DEFAULT_MAX, "{garbage:?}");
    let node = connect_with_inbox(&server, at_most(5)).await;
    assert_eq!(announced_limit(&server).await.as_deref(), Some("5"), "the node overwrites it: {garbage:?}");
    drop(node);
    until("the limit applies", async || stored(1).await == 5).await;

    let _: u64 = run(&server, &["DEL", LIMITS_KEY]).await;
    let _: redis::Value = query(&server, garbage).await;
    let before = calls(&server, "hmget").await;
    until("the publisher reads the limits again", async || calls(&server, "hmget").await > before).await;
    assert_eq!(stored(10).await, 5, "the last valid limits still apply: {garbage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_restarted_nodes_replace_the_previous_ones() {
    let server = RedisServer::start().await;
    let one = connect_with_inbox(&server, announced_often(3)).await;
    assert_eq!(announced_limit(&server).await.as_deref(), Some("3"));
    drop(one);
    let two = connect_with_inbox(&server, announced_often(5)).await;
    assert_eq!(announced_limit(&server).await.as_deref(), Some("5"));
    let before = calls(&server, "hset").await;
    until("the limits are announced again", async || calls(&server, "hset").await > before + 3).await;
    assert_eq!(announced_limit(&server).await.as_deref(), Some("5"));
    drop(two);
    let publisher = publisher(&server).await;
    assert_eq!(stored_after(10, &publisher, &server, "7").await, 5, "announced limits remain without a node");
}

/// The number of calls of a command.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.ask_text("INFO commandstats").await;
    let its = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    its.map_or(0, |counts| counts.split(',').next().expect("a number").parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_announced_again_after_they_or_redis_are_lost() {
    let mut server = RedisServer::start().await;
    let node = connect_with_inbox(&server, announced_often(3)).await;
    assert_eq!(run::<u64>(&server, &["DEL", LIMITS_KEY]).await, 1);
    until("the limits are announced again", async || announced_limit(&server).await.is_some()).await;
    assert_eq!(
        run::<i64>(&server, &["TTL", LIMITS_KEY]).await,
        -1,
        "the limits also apply while no node runs"
    );
    drop(node);
    let _slow = connect_with_inbox(&server, at_most(4)).await;
    server.kill();
    server.run_again().await;
    until("the limits are announced again", async || announced_limit(&server).await.as_deref() == Some("4"))
        .await;
}
