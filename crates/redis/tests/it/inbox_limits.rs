//! How much may wait: what nodes say of it, and who keeps to that.

use futures_util::future::join_all;
use switchboard_backplane::{Backplane, InboxLimits};
use switchboard_event::{Event, Payload, UserId};
use switchboard_redis::{Options, Publisher};
use switchboard_testkit::RedisServer;
use switchboard_testkit::name;

use crate::support::{connect_with_inbox, options, query, run, until};

const SAID: &str = "switchboard:{*}:inboxes:limits";

/// As many wait for a user where nobody says anything.
const DEFAULT_MAX: u64 = 1000;

fn event() -> Event {
    Event { name: name("said"), data: Payload::EMPTY, sender: None, time_ms: 0 }
}

fn at_most(messages_max: u64) -> InboxLimits {
    InboxLimits { messages_max, ..InboxLimits::default() }
}

/// A node that says again every 100 ms how much may wait.
fn often(messages_max: u64) -> InboxLimits {
    InboxLimits { age_max_ms: 200, ..at_most(messages_max) }
}

async fn publisher(server: &RedisServer) -> Publisher {
    Publisher::connect(options(server)).await.expect("Redis answers")
}

/// How many wait for a user who was sent so many by a process that is no node.
async fn left_of(count: usize, publisher: &Publisher, server: &RedisServer, user: &str) -> u64 {
    let (project, users, event) = (name("p"), [name(user)] as [UserId; 1], event());
    let kept = join_all((0..count).map(|_| publisher.store(&project, &users, &event))).await;
    assert!(kept.into_iter().all(|kept| kept.expect("it is kept").inboxes == 1));
    let elements: u64 = run(server, &["LLEN", &format!("switchboard:{{p}}:inbox:@{user}")]).await;
    elements / 2
}

async fn said(server: &RedisServer) -> Option<String> {
    run(server, &["HGET", SAID, "messages_max"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_node_keeps_as_much_as_the_nodes_do() {
    for max in [3, DEFAULT_MAX + 5] {
        let server = RedisServer::start().await;
        let node = connect_with_inbox(&server, at_most(max)).await;
        let publisher = publisher(&server).await;
        assert_eq!(left_of(max as usize + 5, &publisher, &server, "7").await, max);
        // Not less of what a node let wait, either.
        let inbox = node.redis.inbox().expect("it is asked for");
        let (project, users, event) = (name("p"), [name("8")], event());
        for kept in join_all((0..max).map(|_| inbox.put(&project, &users, &event))).await {
            kept.expect("it is kept");
        }
        assert_eq!(left_of(1, &publisher, &server, "8").await, max);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_node_the_defaults_hold_until_one_says_something_else() {
    let server = RedisServer::start().await;
    let publisher = publisher(&server).await;
    assert_eq!(left_of(DEFAULT_MAX as usize + 1, &publisher, &server, "7").await, DEFAULT_MAX);
    let _node = connect_with_inbox(&server, at_most(3)).await;
    until("it is heeded", async || left_of(1, &publisher, &server, "7").await == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_ones_own_hold_in_place_of_the_nodes() {
    let server = RedisServer::start().await;
    let _node = connect_with_inbox(&server, at_most(3)).await;
    let own = Options { inbox: Some(at_most(7)), ..options(&server) };
    let publisher = Publisher::connect(own).await.expect("Redis answers");
    assert_eq!(left_of(10, &publisher, &server, "7").await, 7);
    assert_eq!(said(&server).await.as_deref(), Some("3"), "only nodes say it to others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_node_said_stops_nobody() {
    let bounds = ["messages_max", "bytes_max", "age_max_ms", "project_messages_max", "project_bytes_max"];
    let with_messages_max = |value: &[u8]| {
        let mut command = redis::cmd("HSET");
        command.arg(SAID);
        for bound in bounds {
            command.arg(bound).arg(if bound == "messages_max" { value } else { b"1" });
        }
        command
    };
    let mut garbage: Vec<redis::Cmd> = [&b"many"[..], b"-1", b"\xff\xfe"].map(with_messages_max).into();
    let mut text = redis::cmd("SET");
    text.arg(SAID).arg("a text");
    let mut lacking = redis::cmd("HSET");
    lacking.arg(SAID).arg("messages_max").arg(3);
    garbage.extend([text, lacking]);
    join_all(garbage.iter().map(stops_nobody)).await;
}

async fn stops_nobody(garbage: &redis::Cmd) {
    let server = RedisServer::start().await;
    let _: redis::Value = query(&server, garbage).await;
    let publisher = publisher(&server).await;
    let left = async |count| left_of(count, &publisher, &server, "7").await;
    assert_eq!(left(DEFAULT_MAX as usize + 1).await, DEFAULT_MAX, "{garbage:?}");
    let node = connect_with_inbox(&server, at_most(5)).await;
    assert_eq!(said(&server).await.as_deref(), Some("5"), "it is written over: {garbage:?}");
    drop(node);
    until("it is heeded", async || left(1).await == 5).await;

    let _: u64 = run(&server, &["DEL", SAID]).await;
    let _: redis::Value = query(&server, garbage).await;
    let before = calls(&server, "hmget").await;
    until("it is read again", async || calls(&server, "hmget").await > before).await;
    assert_eq!(left(10).await, 5, "what was known of it holds: {garbage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_restarted_nodes_replace_the_previous_ones() {
    let server = RedisServer::start().await;
    let one = connect_with_inbox(&server, often(3)).await;
    assert_eq!(said(&server).await.as_deref(), Some("3"));
    drop(one);
    let two = connect_with_inbox(&server, often(5)).await;
    assert_eq!(said(&server).await.as_deref(), Some("5"));
    let before = calls(&server, "hset").await;
    until("the limits are announced again", async || calls(&server, "hset").await > before + 3).await;
    assert_eq!(said(&server).await.as_deref(), Some("5"));
    drop(two);
    let publisher = publisher(&server).await;
    assert_eq!(left_of(10, &publisher, &server, "7").await, 5, "announced limits remain without a node");
}

/// How often a command was called.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.ask_text("INFO commandstats").await;
    let its = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    its.map_or(0, |counts| counts.split(',').next().expect("a number").parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_comes_back_when_it_was_taken_away_and_when_redis_was() {
    let mut server = RedisServer::start().await;
    let node = connect_with_inbox(&server, often(3)).await;
    assert_eq!(run::<u64>(&server, &["DEL", SAID]).await, 1);
    until("it is said again", async || said(&server).await.is_some()).await;
    assert_eq!(run::<i64>(&server, &["TTL", SAID]).await, -1, "who puts while no node runs knows it, too");
    drop(node);
    let _slow = connect_with_inbox(&server, at_most(4)).await;
    server.kill();
    server.run_again().await;
    until("it is said again", async || said(&server).await.as_deref() == Some("4")).await;
}
