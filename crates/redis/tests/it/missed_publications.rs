//! Redelivery of messages whose publication a node missed while its subscriptions were interrupted.

use serde_json::{Value, json};
use switchboard::backplane::{Backplane, InboxLimits};
use switchboard::{App, Identity, Mesa, Name, Payload, ProjectId, Target, UserId};
use switchboard_event::Event;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, RedisServer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::support::{options, run, until};

struct TestNode {
    redis: RedisServer,
    server: TestServer,
    node: Redis,
}

impl TestNode {
    async fn new() -> Self {
        let redis = RedisServer::start().await;
        let with_inbox = Options { inbox: Some(InboxLimits::default()), ..options(&redis) };
        let node = Redis::connect(with_inbox).await.expect("Redis answers");
        let verifier = async |token: String| UserId::new(&token).map(Identity::new);
        let app = App::new().with_mesa(Mesa::new()).with_verifier(verifier).with_backplane(&node);
        TestNode { server: TestServer::start(app).await, redis, node }
    }

    /// Cuts the subscriber connection of the node and prevents a new one.
    async fn interrupt_subscriptions(&self) {
        let _: String = run(&self.redis, &["ACL", "SETUSER", "default", "-subscribe", "-ssubscribe"]).await;
        let _: i64 = run(&self.redis, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        until("the subscriptions are lost", async || !self.node.bus().is_up()).await;
    }

    async fn allow_subscriptions(&self) {
        let _: String = run(&self.redis, &["ACL", "SETUSER", "default", "+subscribe", "+ssubscribe"]).await;
    }

    async fn dispatch(&self, users: &[&str], n: u32) {
        let users: Vec<_> = users.iter().map(|user| Target::user(user).unwrap()).collect();
        let stored = self.server.app.to(users.clone()).dispatch("N", &n).await.unwrap();
        assert_eq!(stored.inboxes, users.len());
    }

    async fn log_in(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&login(user)).await;
        assert_eq!(peer.next().await["op"], 22);
        peer
    }

    /// Returns true if the node is subscribed to the channel of a user.
    async fn is_subscribed(&self, user: &str) -> bool {
        let channel = format!("switchboard:{{default}}:to:@{user}");
        let subscribers: (String, usize) = run(&self.redis, &["PUBSUB", "NUMSUB", &channel]).await;
        subscribers.1 == 1
    }

    async fn inbox_is_empty(&self) -> bool {
        let keys: Vec<String> = run(&self.redis, &["KEYS", "switchboard:{default}:inbox*"]).await;
        keys == ["switchboard:{default}:inbox:last"]
    }
}

fn login(user: &str) -> Value {
    json!({ "op": 2, "d": { "token": user, "shouldSync": true } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stored_during_an_interruption_arrive_without_a_new_login() {
    let first = TestNode::new().await;
    let users: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut peers = Vec::new();
    for user in &users {
        peers.push(first.log_in(user).await);
    }
    first.dispatch(&users, 1).await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N" }));
    }
    first.interrupt_subscriptions().await;
    first.dispatch(&users, 2).await;
    first.dispatch(&users, 3).await;
    peers[0].silent().await.expect("the publication is missed");
    assert!(!first.inbox_is_empty().await);
    first.allow_subscriptions().await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 2, "t": "N", "s": 1 }));
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 3, "t": "N", "s": 2 }));
    }
    first.dispatch(&users, 4).await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 4, "t": "N" }));
        // This also answers the ping that follows the message, which acknowledges it.
        peer.silent().await.unwrap();
    }
    until("the inbox is empty", async || first.inbox_is_empty().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_flight_is_not_redelivered() {
    let first = TestNode::new().await;
    // This client answers no ping, so it acknowledges no message.
    let mut unresponsive = RawPeer::connect(first.server.address).await;
    unresponsive.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    unresponsive.read_head().await;
    unresponsive.send(&frame(0x81, login("7").to_string().as_bytes())).await;
    let mut received = String::new();
    read_until(&mut unresponsive, &mut received, "\"op\":22").await;
    first.dispatch(&["7"], 1).await;
    read_until(&mut unresponsive, &mut received, "\"d\":1").await;
    first.interrupt_subscriptions().await;
    first.dispatch(&["7"], 2).await;
    first.allow_subscriptions().await;
    read_until(&mut unresponsive, &mut received, "\"d\":2").await;
    assert_eq!(received.matches("\"d\":1").count(), 1, "{received}");
    assert!(received.ends_with("\"d\":2"));
}

async fn read_until(peer: &mut RawPeer, received: &mut String, text: &str) {
    while !received.ends_with(text) {
        let byte = soon(text, peer.stream.read_u8()).await.expect("the connection is open");
        received.push(byte.into());
    }
}

/// Another node that uses its own Redis user, so that the test can cut the connections of each node separately.
async fn connect_other(redis: &RedisServer) -> Redis {
    let _: String = run(redis, &["ACL", "SETUSER", "other", "on", ">other", "~*", "&*", "+@all"]).await;
    let url = redis.url().replacen("://", "://other:other@", 1);
    let with_inbox = Options { urls: vec![url], inbox: Some(InboxLimits::default()), ..options(redis) };
    Redis::connect(with_inbox).await.expect("Redis answers")
}

async fn store_through(other: &Redis, user: &str, n: u32) {
    let (project, user) = (ProjectId::new("default").unwrap(), UserId::new(user).unwrap());
    let data = Payload::of(&n).unwrap();
    let event = Event { name: Name::new("N").unwrap(), data, sender: None, time_ms: 0, trace: None };
    let stored = other.inbox().unwrap().put(&project, &[user], &event).await.unwrap();
    assert_eq!(stored.inboxes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_messages_arrive_if_subscriptions_recover_before_the_inbox() {
    let first = TestNode::new().await;
    let other = connect_other(&first.redis).await;
    let mut peer = first.log_in("7").await;
    let inbox = first.node.inbox().unwrap();
    // Without the right to run scripts, the subscriptions of the first node recover before its inbox.
    let _: String = run(&first.redis, &["ACL", "SETUSER", "default", "-script", "-subscribe"]).await;
    let _: i64 = run(&first.redis, &["CLIENT", "KILL", "USER", "default"]).await;
    until("both connections are lost", async || !inbox.is_up() && !first.is_subscribed("7").await).await;
    store_through(&other, "7", 1).await;
    let _: String = run(&first.redis, &["ACL", "SETUSER", "default", "+subscribe"]).await;
    until("the node is subscribed", async || first.is_subscribed("7").await).await;
    assert!(!inbox.is_up());
    peer.silent().await.expect("the message is not redelivered yet");
    let _: String = run(&first.redis, &["ACL", "SETUSER", "default", "+script"]).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
    // This also answers the ping that follows the message, which acknowledges it.
    peer.silent().await.unwrap();
    until("the inbox is empty", async || first.inbox_is_empty().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stored_while_the_presence_of_a_user_was_lost_arrive_after_recovery() {
    let first = TestNode::new().await;
    let other = connect_other(&first.redis).await;
    let mut peer = first.log_in("7").await;
    let lease: Vec<String> = run(&first.redis, &["ZRANGE", "switchboard:{*}:nodes", "0", "-1"]).await;
    let node = first.node.bus().node().to_string();
    let lease = lease.into_iter().find(|lease| lease.starts_with(&node)).unwrap();
    // Simulates a node whose lease expired while its subscriptions continued.
    let _: String = run(&first.redis, &["ACL", "SETUSER", "default", "-script"]).await;
    let _: i64 = run(&first.redis, &["CLIENT", "KILL", "USER", "default", "TYPE", "normal"]).await;
    let _: i64 = run(&first.redis, &["ZADD", "switchboard:{*}:nodes", "1", &lease]).await;
    until("the lease is swept", async || {
        other.store().count_users(&ProjectId::new("default").unwrap()).await.unwrap() == 0
    })
    .await;
    assert!(first.is_subscribed("7").await);
    store_through(&other, "7", 1).await;
    peer.silent().await.expect("the message is not redelivered yet");
    let _: String = run(&first.redis, &["ACL", "SETUSER", "default", "+script"]).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
}
