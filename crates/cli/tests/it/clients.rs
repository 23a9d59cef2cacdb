//! Clients of the demo.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_testkit::{Peer, SOON};
use tokio::time::timeout;

use crate::support::Server;

/// A demo on the Redis with this address.
pub(crate) fn demo(redis: &str, sets: &[&str]) -> Server {
    let redis = format!("redis={redis}");
    let sets = [&redis, "stop.window_ms=0"].into_iter().chain(sets.iter().copied());
    Server::start(&[&["demo"], &*sets.flat_map(|set| ["--set", set]).collect::<Vec<_>>()].concat())
}

/// The reply to a request, among whatever else comes.
pub(crate) async fn ask(peer: &mut Peer, event: &str, data: Value) -> Value {
    peer.send(&json!({ "event": event, "data": data, "ackId": "asked" })).await;
    loop {
        let mut frame = peer.next().await;
        if frame["type"] == "ack" {
            return frame["data"].take();
        }
    }
}

/// New sockets at an address, all with the tag `member`.
pub(crate) async fn members(url: &str, count: usize) -> Vec<Peer> {
    let member = async |_| {
        let mut peer = Peer::connect(url).await;
        ask(&mut peer, "/tag", json!({ "tag": "member" })).await;
        peer
    };
    let mut members = Vec::new();
    // So many at a time, or the handshakes time out.
    for at in (0..count).step_by(100) {
        members.extend(join_all((at..count.min(at + 100)).map(member)).await);
    }
    members
}

/// One of them.
pub(crate) async fn member(url: &str) -> Peer {
    members(url, 1).await.remove(0)
}

/// Sockets of all nodes, and those with the tag.
pub(crate) async fn counted(peer: &mut Peer) -> (Value, Value) {
    let mut stats = ask(peer, "/stats", json!({ "tag": "member" })).await;
    (stats["sockets"].take(), stats["tagCount"].take())
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"));
}

/// The next line that somebody says in the room.
pub(crate) async fn line(peer: &mut Peer) -> String {
    loop {
        let (event, data) = peer.next_event().await;
        if event == "message" {
            return data["text"].as_str().expect("a text").into();
        }
    }
}

/// Says a line in the room.
pub(crate) async fn say(peer: &mut Peer, text: &str) {
    peer.emit("/message", json!({ "room": "lobby", "text": text })).await;
}

/// Shows that what one says the other hears, in order; until it is subscribed it may hear nothing.
pub(crate) async fn hears(from: &mut Peer, to: &mut Peer, mark: &str) {
    for peer in [&mut *from, &mut *to] {
        ask(peer, "/join", json!({ "room": "lobby" })).await;
    }
    until("the first line is heard", async || {
        say(from, "first").await;
        timeout(Duration::from_millis(20), line(to)).await.is_ok()
    })
    .await;
    let lines: Vec<String> = (0..50).map(|n| format!("{mark}{n}")).collect();
    for line in &lines {
        say(from, line).await;
    }
    let mut heard = Vec::new();
    while heard.len() < lines.len() {
        let line = timeout(SOON, line(to)).await.expect("every line is heard");
        if line != "first" {
            heard.push(line);
        }
    }
    assert_eq!(heard, lines);
}
