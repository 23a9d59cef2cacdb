//! A node that does not hear the others for a while, and messages for users who are on it.

use serde_json::{Value, json};
use switchboard::{App, Backplane, Identity, InboxLimits, Mesa, Name, Payload, ProjectId, Target, UserId};
use switchboard_event::Event;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::raw::{HANDSHAKE, frame};
use switchboard_testkit::{Peer, RawPeer, RedisServer, TestServer, soon};
use tokio::io::AsyncReadExt;

use crate::support::{options, run, until};

struct Place {
    redis: RedisServer,
    server: TestServer,
    node: Redis,
}

impl Place {
    async fn new() -> Self {
        let redis = RedisServer::start().await;
        let with_inbox = Options { inbox: Some(InboxLimits::default()), ..options(&redis) };
        let node = Redis::connect(with_inbox).await.expect("Redis answers");
        let verifier = async |token: String| {
            UserId::new(&token).map(|user| Identity { user, expires: None, profile: None })
        };
        let app = App::new().with_mesa(Mesa::new()).with_verifier(verifier).with_backplane(&node);
        Place { server: TestServer::start(app).await, redis, node }
    }

    /// Cuts the connection that the node hears by, and lets no other one take its place.
    async fn deafen(&self) {
        let _: String = run(&self.redis, &["ACL", "SETUSER", "default", "-subscribe", "-ssubscribe"]).await;
        let _: i64 = run(&self.redis, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        until("nothing is heard", async || !self.node.bus().is_up()).await;
    }

    async fn heal(&self) {
        let _: String = run(&self.redis, &["ACL", "SETUSER", "default", "+subscribe", "+ssubscribe"]).await;
    }

    async fn keep(&self, users: &[&str], n: u32) {
        let users: Vec<_> = users.iter().map(|user| Target::user(user).unwrap()).collect();
        let kept = self.server.app.to(users.clone()).dispatch("N", &n).await.unwrap();
        assert_eq!(kept.inboxes, users.len());
    }

    async fn log_in(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&login(user)).await;
        assert_eq!(peer.next().await["op"], 22);
        peer
    }

    /// Whether the node hears what is sent to a user.
    async fn hears(&self, user: &str) -> bool {
        let channel = format!("switchboard:{{default}}:to:@{user}");
        let heard: (String, usize) = run(&self.redis, &["PUBSUB", "NUMSUB", &channel]).await;
        heard.1 == 1
    }

    async fn nothing_waits(&self) -> bool {
        let keys: Vec<String> = run(&self.redis, &["KEYS", "switchboard:{default}:inbox*"]).await;
        keys == ["switchboard:{default}:inbox:last"]
    }
}

fn login(user: &str) -> Value {
    json!({ "op": 2, "d": { "token": user, "shouldSync": true } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_meanwhile_arrives_without_a_new_login() {
    let place = Place::new().await;
    let users: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut peers = Vec::new();
    for user in &users {
        peers.push(place.log_in(user).await);
    }
    place.keep(&users, 1).await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N" }));
    }
    place.deafen().await;
    place.keep(&users, 2).await;
    place.keep(&users, 3).await;
    peers[0].silent().await.expect("it is not heard");
    assert!(!place.nothing_waits().await);
    place.heal().await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 2, "t": "N", "s": 1 }));
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 3, "t": "N", "s": 2 }));
    }
    place.keep(&users, 4).await;
    for peer in &mut peers {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": 4, "t": "N" }));
        // By that it answers the ping behind it.
        peer.silent().await.unwrap();
    }
    until("nothing waits", async || place.nothing_waits().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_its_way_is_not_told_twice() {
    let place = Place::new().await;
    // It answers no ping, so nothing is known to have arrived.
    let mut mute = RawPeer::connect(place.server.address).await;
    mute.send(HANDSHAKE.replace("GET / ", "GET /mesa ").as_bytes()).await;
    mute.read_head().await;
    mute.send(&frame(0x81, login("7").to_string().as_bytes())).await;
    let mut heard = String::new();
    hear(&mut mute, &mut heard, "\"op\":22").await;
    place.keep(&["7"], 1).await;
    hear(&mut mute, &mut heard, "\"d\":1").await;
    place.deafen().await;
    place.keep(&["7"], 2).await;
    place.heal().await;
    hear(&mut mute, &mut heard, "\"d\":2").await;
    assert_eq!(heard.matches("\"d\":1").count(), 1, "{heard}");
    assert!(heard.ends_with("\"d\":2"));
}

async fn hear(peer: &mut RawPeer, heard: &mut String, text: &str) {
    while !heard.ends_with(text) {
        let byte = soon(text, peer.stream.read_u8()).await.expect("the connection is open");
        heard.push(byte.into());
    }
}

/// Another node, under a name of its own in Redis, so that its connections can be told from those of the first.
async fn another(redis: &RedisServer) -> Redis {
    let _: String = run(redis, &["ACL", "SETUSER", "other", "on", ">other", "~*", "&*", "+@all"]).await;
    let url = redis.url().replacen("://", "://other:other@", 1);
    let with_inbox = Options { urls: vec![url], inbox: Some(InboxLimits::default()), ..options(redis) };
    Redis::connect(with_inbox).await.expect("Redis answers")
}

async fn keep_at(other: &Redis, user: &str, n: u32) {
    let (project, user) = (ProjectId::new("default").unwrap(), UserId::new(user).unwrap());
    let data = Payload::of(&n).unwrap();
    let event = Event { name: Name::new("N").unwrap(), data, sender: None, time_ms: 0 };
    let kept = other.inbox().unwrap().put(&project, &[user], &event).await.unwrap();
    assert_eq!(kept.inboxes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_looked_for_when_all_is_back_whatever_comes_back_first() {
    let place = Place::new().await;
    let other = another(&place.redis).await;
    let mut peer = place.log_in("7").await;
    let inbox = place.node.inbox().unwrap();
    // The first node can do nothing that takes a script, so it is heard first and asked nothing.
    let _: String = run(&place.redis, &["ACL", "SETUSER", "default", "-script", "-subscribe"]).await;
    let _: i64 = run(&place.redis, &["CLIENT", "KILL", "USER", "default"]).await;
    until("all is lost", async || !inbox.is_up() && !place.hears("7").await).await;
    keep_at(&other, "7", 1).await;
    let _: String = run(&place.redis, &["ACL", "SETUSER", "default", "+subscribe"]).await;
    until("it hears", async || place.hears("7").await).await;
    assert!(!inbox.is_up());
    peer.silent().await.expect("nobody told it");
    let _: String = run(&place.redis, &["ACL", "SETUSER", "default", "+script"]).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
    // By that it answers the ping behind it.
    peer.silent().await.unwrap();
    until("nothing waits", async || place.nothing_waits().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_while_nobody_knew_of_a_user_is_told_when_it_is_known_again() {
    let place = Place::new().await;
    let other = another(&place.redis).await;
    let mut peer = place.log_in("7").await;
    let lease: Vec<String> = run(&place.redis, &["ZRANGE", "switchboard:{*}:nodes", "0", "-1"]).await;
    let node = place.node.bus().node().to_string();
    let lease = lease.into_iter().find(|lease| lease.starts_with(&node)).unwrap();
    // As if it had stood still for so long that its lease ended, while it goes on to hear.
    let _: String = run(&place.redis, &["ACL", "SETUSER", "default", "-script"]).await;
    let _: i64 = run(&place.redis, &["CLIENT", "KILL", "USER", "default", "TYPE", "normal"]).await;
    let _: i64 = run(&place.redis, &["ZADD", "switchboard:{*}:nodes", "1", &lease]).await;
    until("it is swept", async || {
        other.store().count_users(&ProjectId::new("default").unwrap()).await.unwrap() == 0
    })
    .await;
    assert!(place.hears("7").await);
    keep_at(&other, "7", 1).await;
    peer.silent().await.expect("nobody told it");
    let _: String = run(&place.redis, &["ACL", "SETUSER", "default", "+script"]).await;
    assert_eq!(peer.next().await, json!({ "op": 0, "d": 1, "t": "N", "s": 1 }));
}
