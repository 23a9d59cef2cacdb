//! Stored messages while servers are killed at random and users connect and disconnect.
//!
//! Every message with confirmed storage is delivered at least once, and first deliveries keep the
//! order of storage.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_dispatcher::{Dispatcher, DispatcherOptions, Message};
use switchboard_testkit::{Peer, RedisServer, Scratch, soon};

use crate::backend::{KEY, post};
use crate::support::{Server, run};

const SECRET: &str = "a secret of this test alone, and long enough";
const USERS: usize = 6;

/// The servers of a test, each of which can be killed and replaced.
struct Servers {
    sets: Vec<String>,
    running: Mutex<Vec<Running>>,
}

struct Running {
    /// Killed when it is dropped.
    _server: Server,
    mesa: String,
    api: String,
}

impl Servers {
    fn start(count: usize, sets: &[String]) -> Self {
        let mut all = vec![
            format!("auth.jwt_secret={SECRET}"),
            format!("api.keys={KEY}"),
            "api.listen=127.0.0.1:0".into(),
            "mesa.enabled=true".into(),
            "mesa.listen=127.0.0.1:0".into(),
            "mesa.sync.enabled=true".into(),
            "inbox.messages_max=1000000".into(),
            "node.lease_ms=1000".into(),
        ];
        all.extend(sets.iter().cloned());
        let servers = Servers { sets: all, running: Mutex::default() };
        let running = (0..count).map(|_| servers.start_one()).collect();
        *servers.running.lock().unwrap() = running;
        servers
    }

    fn start_one(&self) -> Running {
        let sets = self.sets.iter().flat_map(|set| ["--set", set]);
        let server = Server::start(&[&["serve"], &*sets.collect::<Vec<_>>()].concat());
        let after = |mark: &str| {
            let rest =
                server.banner.split(mark).nth(1).unwrap_or_else(|| panic!("{mark} in {}", server.banner));
            rest.split('/').next().expect("an address").to_owned()
        };
        let (mesa, api) = (after("/mesa, ws://"), after("  api      http://"));
        Running { _server: server, mesa, api }
    }

    /// Kills one server and starts another in its place.
    fn kill_one(&self, which: usize) {
        {
            let mut running = self.running.lock().unwrap();
            let index = which % running.len();
            // Dropping it kills it; its files and ports are then free.
            drop(running.swap_remove(index));
        }
        let one = self.start_one();
        self.running.lock().unwrap().push(one);
    }

    fn address(&self, which: usize, pick: impl Fn(&Running) -> String) -> Option<String> {
        let running = self.running.lock().unwrap();
        running.get(which % running.len().max(1)).map(pick)
    }
}

/// The connection of the sender.
enum Sender {
    Http(Arc<Servers>),
    Redis(Dispatcher),
}

impl Sender {
    /// Sends until the storage is confirmed.
    async fn send(&self, user: &str, number: usize) {
        while !self.is_stored(user, number).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn is_stored(&self, user: &str, number: usize) -> bool {
        match self {
            Sender::Http(servers) => {
                let Some(api) = servers.address(0, |one| one.api.clone()) else { return false };
                let body = json!({ "type": "N", "data": number, "to": { "users": [user] }, "sync": true });
                let sending = tokio::task::spawn_blocking(move || {
                    post(&api, "dispatch", &[("Authorization", &format!("Bearer {KEY}"))], &body.to_string())
                });
                sending
                    .await
                    .unwrap()
                    .is_some_and(|answer| answer.status == 200 && answer.body["inboxes"] == 1)
            }
            Sender::Redis(dispatcher) => {
                let message = Message::new(0, &number, "N").unwrap();
                dispatcher.dispatch(&message, &[user]).await.is_ok_and(|done| done.inboxes == Some(1))
            }
        }
    }
}

/// A user that connects and disconnects, with the numbers of its received messages.
struct User {
    name: String,
    token: String,
    received: Vec<usize>,
}

impl User {
    fn new(number: usize) -> Self {
        let name = format!("user-{number}");
        let made = run(&["token", "make", &name, "--set", &format!("auth.jwt_secret={SECRET}")]);
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        User { name, token, received: Vec::new() }
    }

    /// Logs in, receives for a moment and disconnects. False if no server was reachable.
    async fn connect_briefly(&mut self, address: &str, stay: Duration) -> bool {
        let Ok(Some(mut peer)) = tokio::time::timeout(stay, self.log_in(address)).await else { return false };
        let _ = tokio::time::timeout(stay, async {
            while let Ok(frame) = peer.try_next().await {
                self.record(&frame);
            }
        })
        .await;
        true
    }

    async fn log_in(&self, address: &str) -> Option<Peer> {
        let mut peer = Peer::try_connect(&format!("ws://{address}/"), &[]).await.ok()?;
        peer.try_next().await.ok()?;
        peer.try_send(&json!({ "op": 2, "d": { "token": self.token } })).await.ok()?;
        Some(peer)
    }

    fn record(&mut self, frame: &Value) {
        if frame["op"] == 0 {
            self.received.push(frame["d"].as_u64().expect("its number") as usize);
        }
    }

    /// Reconnects until the last message was received.
    async fn receive_the_rest(&mut self, address: &str, last: usize) {
        while !self.received.contains(&last) {
            self.connect_briefly(address, Duration::from_millis(500)).await;
        }
    }

    /// Asserts that every message was received, and that first deliveries were in order.
    fn check(&self, last: usize) {
        let mut seen = HashSet::new();
        let firsts: Vec<usize> =
            self.received.iter().copied().filter(|number| seen.insert(*number)).collect();
        let sent: Vec<usize> = (1..=last).collect();
        let lost: Vec<_> = sent.iter().filter(|number| !seen.contains(number)).collect();
        assert!(lost.is_empty(), "{} did not receive {lost:?}", self.name);
        assert_eq!(firsts, sent, "order of first deliveries to {}", self.name);
    }
}

/// Kills a server `rounds` times while messages are sent to users that connect and disconnect.
async fn assert_nothing_is_lost(servers: Arc<Servers>, sender: Sender, rounds: usize) {
    let over = AtomicBool::new(false);
    let killing = async {
        for round in 0..rounds {
            tokio::time::sleep(Duration::from_millis(100 + random(300))).await;
            let servers = servers.clone();
            tokio::task::spawn_blocking(move || servers.kill_one(round)).await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    let users = (0..USERS).map(async |number| {
        let mut user = User::new(number);
        let mut sent = 0;
        let name = user.name.clone();
        let sending = async {
            while !over.load(Ordering::Relaxed) {
                sender.send(&name, sent + 1).await;
                sent += 1;
                tokio::time::sleep(Duration::from_millis(random(10))).await;
            }
        };
        let listening = async {
            while !over.load(Ordering::Relaxed) {
                let address = servers.address(random(2) as usize, |one| one.mesa.clone());
                if let Some(address) = address {
                    user.connect_briefly(&address, Duration::from_millis(20 + random(150))).await;
                }
                tokio::time::sleep(Duration::from_millis(random(50))).await;
            }
        };
        tokio::join!(sending, listening);
        let address = servers.address(0, |one| one.mesa.clone()).expect("a server runs");
        soon("the rest", user.receive_the_rest(&address, sent)).await;
        user.check(sent);
        sent
    });
    let (sent, ()) = tokio::join!(join_all(users), killing);
    println!("{} messages, {rounds} kills", sent.iter().sum::<usize>());
    assert!(sent.iter().all(|sent| *sent > rounds / 2), "{sent:?}: messages were sent throughout");
}

fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(()) % below
}

async fn on_disk(rounds: usize) {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox.redb"));
    let servers = Arc::new(Servers::start(1, &[path]));
    assert_nothing_is_lost(servers.clone(), Sender::Http(servers), rounds).await;
}

async fn in_redis(rounds: usize) {
    let redis = RedisServer::start().await;
    let options = DispatcherOptions { sync: true, ..DispatcherOptions::new(&redis.url()) };
    let dispatcher = Dispatcher::with_options(options).await.unwrap();
    let servers = Arc::new(Servers::start(2, &[format!("redis={}", redis.url())]));
    assert_nothing_is_lost(servers, Sender::Redis(dispatcher), rounds).await;
}

#[tokio::test]
async fn no_message_stored_on_disk_is_lost_when_the_server_is_killed() {
    on_disk(5).await;
}

#[tokio::test]
async fn no_message_stored_in_redis_is_lost_when_a_node_is_killed() {
    in_redis(5).await;
}

#[tokio::test]
#[ignore = "slow: a hundred kills"]
async fn no_message_stored_on_disk_is_lost_in_100_kills() {
    on_disk(100).await;
}

#[tokio::test]
#[ignore = "slow: a hundred kills"]
async fn no_message_stored_in_redis_is_lost_in_100_kills() {
    in_redis(100).await;
}
