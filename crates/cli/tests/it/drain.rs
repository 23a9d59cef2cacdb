//! `switchboard drain`, and the call of the HTTP API that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_client::{Client, Options};
use switchboard_testkit::{Forwarder, Peer, RedisServer, soon, until};
use tokio::sync::mpsc;

use crate::backend::{Answer, KEY, api, call, post, shell};
use crate::support::{Server, get};

fn drain(address: &str, body: &Value) -> Answer {
    let key = format!("Bearer {KEY}");
    post(address, "drain", &[("Authorization", &key)], &body.to_string()).expect("an answer")
}

/// A client that understands `@goaway`.
async fn moving_peer(server: &Server) -> Peer {
    let mut peer = Peer::connect(&format!("{}/?sb=1", server.url())).await;
    assert_eq!(peer.next_event().await.0, "@session");
    peer
}

fn readiness(server: &Server) -> String {
    get(&server.health, "/readyz")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_is_not_ready_and_accepts_clients_again_after_a_cancel() {
    let (server, address) = api(&[]);
    let url = format!("http://{address}");
    let mut peer = moving_peer(&server).await;
    assert!(readiness(&server).contains("ready"));
    let run = |args: &[&str]| shell("drain", &[args, &["--url", &url]].concat(), Some(KEY));
    let begun = "draining; 1 connection left, 1 of them move by themselves\n";
    assert_eq!(run(&["--window", "1h"]), (Some(0), begun.into()));
    let (event, notice) = soon("the notice", peer.next_event()).await;
    assert_eq!((&*event, &notice["in_ms"], &notice["grace_ms"]), ("@goaway", &json!(0), &json!(1_800_000)));
    let refusal = readiness(&server);
    assert!(refusal.contains(" 503 ") && refusal.ends_with("draining\n"), "{refusal}");
    let metrics = get(&server.health, "/metrics");
    assert!(metrics.contains("switchboard_draining 1\n"), "{metrics}");
    assert!(metrics.contains("switchboard_goaways_total 1\n"), "{metrics}");
    let refused = Peer::try_connect(&server.url(), &[]).await.err().expect("it refuses clients");
    assert!(refused.contains("503"), "{refused}");

    assert_eq!(run(&["--cancel"]), (Some(0), "not draining; 1 connection\n".into()));
    assert_eq!(peer.next_event().await, ("@goaway".into(), json!({ "cancelled": true })));
    assert!(get(&server.health, "/metrics").contains("switchboard_draining 0\n"));
    server.peer().await.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_waits_until_no_connection_is_left() {
    let (server, address) = api(&[]);
    let (mut one, mut two) = (server.peer().await, server.peer().await);
    one.quiet().await;
    two.quiet().await;
    let url = format!("http://{address}");
    let args = ["--window", "1s", "--wait", "--json", "--url", &url].map(str::to_owned);
    let waiting = std::thread::spawn(move || {
        shell("drain", &args.iter().map(String::as_str).collect::<Vec<_>>(), Some(KEY))
    });
    assert_eq!((one.closed().await.0, two.closed().await.0), (1012, 1012));
    let (status, output) = waiting.join().expect("no panic");
    assert_eq!(status, Some(0), "{output}");
    let status: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(status, json!({ "draining": true, "connections": 0, "moving": 0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_drain_is_refused_and_drains_nothing() {
    let (server, address) = api(&[
        "api.named_keys.shop.keys=fedcba9876543210",
        "api.named_keys.shop.projects=[\"shop\"]",
        "api.named_keys.shop.scopes=[\"manage\"]",
    ]);
    for (body, field) in [
        (json!({ "window_ms": 86_400_001 }), "window_ms"),
        (json!({ "window_ms": -1 }), "window_ms"),
        (json!({ "cancel": "yes" }), "cancel"),
        (json!({ "force": true }), "force"),
    ] {
        let answer = drain(&address, &body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.to_string().contains(field), "{}", answer.body);
    }
    let key = [("Authorization", "Bearer fedcba9876543210")];
    let of_a_project = post(&address, "drain", &key, "{}").expect("an answer");
    assert_eq!(of_a_project.status, 403);
    assert!(readiness(&server).ends_with("ready\n"));
    // Nothing to cancel.
    let expected = json!({ "draining": false, "connections": 0, "moving": 0 });
    assert_eq!(drain(&address, &json!({ "cancel": true })).body, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_once_the_clients_that_move_have_gone() {
    let server = Server::start(&["serve", "--set", "stop.window_ms=60000"]);
    let mut moving = moving_peer(&server).await;
    server.signal("-TERM");
    let notice = loop {
        let (event, notice) = moving.next_event().await;
        if event == "@goaway" {
            break notice;
        }
    };
    assert_eq!(notice, json!({ "in_ms": 0, "grace_ms": 30_000, "reason": "stop" }));
    moving.close().await;
    let ended = tokio::task::spawn_blocking(|| server.ended());
    let (status, log) =
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("a stop").expect("no panic");
    assert_eq!(status, Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_the_notice_of_a_stop_a_node_is_not_ready_and_accepts_clients() {
    let server = Server::start(&["serve", "--set", "stop.notice_ms=600000", "--set", "stop.window_ms=0"]);
    let mut before = server.peer().await;
    assert!(readiness(&server).contains(" 200 "));
    server.signal("-TERM");
    until("the node is not ready", async || readiness(&server).ends_with("stopping\n")).await;
    assert!(readiness(&server).contains(" 503 "));
    server.peer().await.quiet().await;
    before.quiet().await;
    // Nobody has to wait for the end of the notice.
    server.signal("-TERM");
    let ended = tokio::task::spawn_blocking(|| server.ended());
    let (status, log) =
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("a stop").expect("no panic");
    assert_eq!(status, Some(1), "{log}");
}

/// Sends numbered messages to the room `#lobby` until `stop`, and returns their count.
fn publish(address: &str, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let body = json!({ "type": "SAID", "data": number, "to": { "rooms": ["lobby"] } });
        assert_eq!(call(address, "dispatch", &body).status, 200);
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_between_nodes_misses_no_message_of_a_history_and_receives_none_twice() {
    let redis = RedisServer::start().await;
    let redis_url = format!("redis.url={}", redis.url());
    let sets = [&*redis_url, "history.rooms.lobby.messages_max=100000"];
    let nodes = [api(&sets), api(&sets)];
    let port =
        |server: &Server| server.address.rsplit(':').next().expect("a port").parse().expect("a number");
    let network = Forwarder::start(port(&nodes[0].0)).await;
    let options = Options::default().with_reconnect(true);
    let client = Client::connect_with(&format!("ws://127.0.0.1:{}", network.port()), options).await;
    let client = client.expect("it connects");
    let (received, mut numbers) = mpsc::channel::<u64>(100_000);
    client.on_data("SAID", move |number: u64| received.try_send(number).expect("room for all"));
    let (moved, mut reconnects) = mpsc::channel::<Value>(10);
    client.on_data("@reconnect", move |data: Value| moved.try_send(data).expect("room for all"));
    let joined = client.request::<Value>("/join", &json!({ "username": "Ann", "room": "lobby" })).await;
    joined.expect("it joins");

    let stop = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (address, stop) = (nodes[0].1.clone(), stop.clone());
        tokio::task::spawn_blocking(move || publish(&address, &stop))
    };
    let mut expected = 1;
    let mut next_is_in_order = async |count: u64| {
        for _ in 0..count {
            assert_eq!(soon("a message", numbers.recv()).await, Some(expected));
            expected += 1;
        }
        expected - 1
    };
    // There and back: each node drains once.
    for (from, to) in [(0, 1), (1, 0)] {
        next_is_in_order(20).await;
        network.point_to(port(&nodes[to].0));
        let address = nodes[from].1.clone();
        let drained = tokio::task::spawn_blocking(move || drain(&address, &json!({ "window_ms": 60_000 })));
        assert_eq!(drained.await.expect("no panic").body["moving"], 1);
        let reconnect = soon("the client has moved", reconnects.recv()).await;
        assert_eq!(reconnect, Some(json!({ "attempt": 0, "resumed": true })));
        next_is_in_order(20).await;
        let address = nodes[from].1.clone();
        let cancelled = tokio::task::spawn_blocking(move || drain(&address, &json!({ "cancel": true })));
        assert_eq!(cancelled.await.expect("no panic").body["connections"], 0);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = publishing.await.expect("no panic");
    let so_far = next_is_in_order(0).await;
    assert_eq!(next_is_in_order(sent - so_far).await, sent);
    client.close().await;
    assert!(numbers.try_recv().is_err(), "nothing arrives twice");
}
