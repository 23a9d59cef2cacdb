//! A node that does not hear the others for a while, and messages for users who are on it.

use serde_json::{Value, json};
use switchboard::{App, Backplane, Identity, InboxLimits, Mesa, Name, Target};
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
            Name::new(&token).map(|user| Identity { user, expires: None, profile: None })
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
        let kept = self.server.app.to(users.clone()).keep("N", &n).await.unwrap();
        assert_eq!(kept.inboxes, users.len());
    }

    async fn log_in(&self, user: &str) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer.send(&login(user)).await;
        assert_eq!(peer.next().await["op"], 22);
        peer
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
