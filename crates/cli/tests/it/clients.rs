//! Clients of the demo.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
pub(crate) use switchboard_testkit::until;
use switchboard_testkit::{Peer, SOON};
use tokio::time::timeout;

use crate::support::Server;

/// Starts a demo that uses the Redis at this address.
pub(crate) fn demo(redis: &str, sets: &[&str]) -> Server {
    let redis = format!("redis={redis}");
    let sets = [&redis, "stop.window_ms=0"].into_iter().chain(sets.iter().copied());
    Server::start(&[&["demo"], &*sets.flat_map(|set| ["--set", set]).collect::<Vec<_>>()].concat())
}

/// Sends a request and returns its reply; other frames are skipped.
pub(crate) async fn request(peer: &mut Peer, event: &str, data: Value) -> Value {
    peer.send(&json!({ "event": event, "data": data, "ackId": "asked" })).await;
    loop {
        let mut frame = peer.next().await;
        if frame["type"] == "ack" {
            return frame["data"].take();
        }
    }
}

/// Connects sockets and gives each the tag `member`.
pub(crate) async fn members(url: &str, count: usize) -> Vec<Peer> {
    let member = async |_| {
        let mut peer = Peer::connect(url).await;
        request(&mut peer, "/tag", json!({ "tag": "member" })).await;
        peer
    };
    let mut members = Vec::new();
    // In batches, because too many handshakes at once time out.
    for at in (0..count).step_by(100) {
        members.extend(join_all((at..count.min(at + 100)).map(member)).await);
    }
    members
}

/// Connects one socket with the tag `member`.
pub(crate) async fn member(url: &str) -> Peer {
    members(url, 1).await.remove(0)
}

/// The number of sockets of all nodes, and of those with the tag `member`.
pub(crate) async fn socket_counts(peer: &mut Peer) -> (Value, Value) {
    let mut stats = request(peer, "/stats", json!({ "tag": "member" })).await;
    (stats["sockets"].take(), stats["tagCount"].take())
}

/// Sends a line to a room.
pub(crate) async fn send_line(peer: &mut Peer, room: &str, text: &str) {
    peer.emit("/message", json!({ "room": room, "text": format!("{room}: {text}") })).await;
}

/// The next line that is received in a room.
pub(crate) async fn next_line(peer: &mut Peer, room: &str) -> String {
    loop {
        let (event, data) = peer.next_event().await;
        let text = data["text"].as_str().and_then(|text| text.strip_prefix(room)?.strip_prefix(": "));
        if let Some(text) = text.filter(|_| event == "message") {
            return text.into();
        }
    }
}

/// Asserts that lines from one peer reach the other in order, in a room of their own. Lines that are sent
/// before the receiver's node is subscribed may be lost.
pub(crate) async fn assert_delivers(from: &mut Peer, to: &mut Peer, room: &str) {
    for peer in [&mut *from, &mut *to] {
        request(peer, "/join", json!({ "room": room })).await;
    }
    until("the first line is received", async || {
        send_line(from, room, "first").await;
        timeout(Duration::from_millis(20), next_line(to, room)).await.is_ok()
    })
    .await;
    let lines: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for line in &lines {
        send_line(from, room, line).await;
    }
    let mut received = Vec::new();
    while received.len() < lines.len() {
        let line = timeout(SOON, next_line(to, room)).await.expect("every line is received");
        if line != "first" {
            received.push(line);
        }
    }
    assert_eq!(received, lines);
}
