//! Webhooks of the packaged server, and `switchboard hooks`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, until};

use crate::backend::{KEY, api, call, send, shell};
use crate::support::{Server, run};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A backend that answers every call with a status. Returns its URL and the calls: their heads and bodies.
pub(crate) fn backend(status: &'static str) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let (sender, calls) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.expect("a connection"), sender.clone());
            std::thread::spawn(move || serve(stream, status, |call| drop(sender.send(call))));
        }
    });
    (url, calls)
}

fn serve(stream: TcpStream, status: &str, on_call: impl Fn((String, Value))) {
    let mut read = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if read.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        read.read_exact(&mut body).expect("the whole body arrives");
        on_call((head, serde_json::from_slice(&body).expect("a body is JSON")));
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).expect("the server reads it");
    }
}

pub(crate) fn endpoint(url: &str, events: &str) -> String {
    format!(
        r#"hooks.endpoints.chat={{url="{url}", secrets="{SECRET}", allow_private=true, events=[{events}]}}"#
    )
}

/// The kinds of reports, until one of the kind `last`.
fn kinds_until(calls: &Receiver<(String, Value)>, last: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != last) {
        let (head, body) = calls.recv().expect("the backend runs");
        assert!(head.contains("webhook-signature: v1,"), "{head}");
        let reports = body["reports"].as_array().expect("a list");
        kinds.extend(reports.iter().map(|report| report["type"].as_str().expect("a kind").to_owned()));
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_reports_its_clients_and_delivers_the_rest_before_it_ends() {
    let (url, calls) = backend("204 No Content");
    let events =
        r#""connected","authenticated","joined","left","message","disconnected","undeliverable","drained""#;
    let server = Server::start(&["demo", "--set", &endpoint(&url, events)]);
    let mut peer = server.peer().await;
    peer.request("/join", json!({ "room": "lobby" })).await;
    assert_eq!(kinds_until(&calls, "joined"), ["connected", "joined"]);
    let counted = r#"switchboard_webhook_calls_total{endpoint="chat",outcome="success"}"#;
    until("the call is counted", async || server.get("/metrics").contains(counted)).await;
    server.signal("-TERM");
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        let (_, body) = calls.recv().expect("the backend runs");
        kinds.extend(body["reports"].as_array().expect("a list").clone());
    }
    let of_client: Vec<&str> = kinds.iter().filter_map(|report| report["type"].as_str()).collect();
    // The node is no client, so its report may overtake them.
    let of_client: Vec<&&str> = of_client.iter().filter(|kind| **kind != "drained").collect();
    assert_eq!(of_client, [&"left", &"disconnected"]);
    let drained = kinds.iter().find(|report| report["type"] == "drained").expect("the node has drained");
    assert_eq!(drained["node"].as_str().map(str::len), Some(8), "{drained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_drain_without_a_stop_is_reported_once_and_that_of_a_cancelled_one_is_not() {
    let (url, calls) = backend("204 No Content");
    let (server, address) = api(&[&endpoint(&url, r#""disconnected","drained""#)]);
    let mut stays = Peer::connect(&format!("{}/?sb=1&resume=0", server.url())).await;
    let day = 24 * 60 * 60 * 1000;
    assert_eq!(call(&address, "drain", &json!({ "window_ms": day })).body["connections"], 1);
    assert_eq!(stays.next_event().await.0, "@goaway");
    assert_eq!(call(&address, "drain", &json!({ "cancel": true })).body["draining"], false);
    assert_eq!(stays.next_event().await, ("@goaway".to_owned(), json!({ "cancelled": true })));
    for _ in 0..2 {
        assert_eq!(call(&address, "drain", &json!({ "window_ms": 0 })).body["draining"], true);
    }
    assert_eq!(stays.closed().await.0, 1012);
    // The node is no client, so its report may overtake that of the client.
    let mut kinds = kinds_until(&calls, "drained");
    if kinds.len() == 1 {
        kinds.extend(kinds_until(&calls, "disconnected"));
    }
    kinds.sort();
    assert_eq!(kinds, ["disconnected", "drained"]);
    assert_eq!(call(&address, "drain", &json!({ "cancel": true })).body["draining"], false);
    let peer = Peer::connect(&server.url()).await;
    peer.close().await;
    // A second report of the drain would precede it.
    assert_eq!(kinds_until(&calls, "disconnected"), ["disconnected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_redis_report_their_clients() {
    let redis = RedisServer::start().await;
    let (url, calls) = backend("200 OK");
    let redis = format!("redis={}", redis.url());
    let endpoint = endpoint(&url, r#""connected","disconnected""#);
    let server = Server::start(&["serve", "--set", &redis, "--set", &endpoint]);
    let peer = server.peer().await;
    drop(peer);
    assert_eq!(kinds_until(&calls, "disconnected"), ["connected", "disconnected"]);
}

#[test]
fn a_test_report_is_sent_once_and_its_answer_printed() {
    let (url, calls) = backend("200 OK");
    let set = endpoint(&url, r#""connected""#);
    let output = run(&["hooks", "test", "chat", "--set", &set]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed, format!("{url} answered 200 ok\n"));
    let (head, body) = calls.recv().expect("the backend runs");
    assert!(head.contains("webhook-signature: v1,"), "{head}");
    assert_eq!(body["reports"][0]["type"], "test");
}

#[test]
fn a_test_report_that_is_not_accepted_is_an_error() {
    let (url, _calls) = backend("500 Internal Server Error");
    let set = endpoint(&url, r#""connected""#);
    for (set, endpoint, code, expected) in [
        (set.clone(), "chat", 1, "answered 500 ok"),
        (set.replace(&url, "http://127.0.0.1:1/"), "chat", 1, "has not accepted the report"),
        (set.clone(), "news", 2, "no webhook endpoint has the name `news`; the endpoints are chat"),
        (set.replace("allow_private=true", "allow_private=false"), "chat", 2, "allow_private = true"),
        ("log.format=text".into(), "chat", 2, "hooks.endpoints has no endpoint"),
    ] {
        let output = run(&["hooks", "test", endpoint, "--set", &set]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_of_a_node_are_listed_and_their_failed_calls_repeated_on_demand() {
    let (url, calls) = backend("410 Gone");
    let events = endpoint(&url, r#""connected""#);
    let (server, address) = api(&[&events]);
    let _peer = server.peer().await;
    calls.recv().expect("the backend is called");
    let through = format!("http://{address}");
    let hooks = |args: &[&str]| shell("hooks", &[args, &["--url", &through]].concat(), Some(KEY));
    until("the endpoint is stopped", async || {
        let (code, printed) = hooks(&["status"]);
        assert_eq!(code, Some(0), "{printed}");
        let endpoint = format!("chat\t{url}\tstopped\t0\t1\t1\t");
        printed.lines().nth(1).is_some_and(|line| line.starts_with(&endpoint))
    })
    .await;
    let (code, printed) = hooks(&["replay", "chat", "--json"]);
    let before: Value = serde_json::from_str(&printed).expect("one endpoint");
    assert_eq!((code, &before["state"], &before["backlog"]), (Some(0), &json!("stopped"), &json!(1)));
    let (_, body) = calls.recv().expect("the backend is called again");
    assert_eq!(body["reports"][0]["type"], "connected");
    assert_eq!(hooks(&["replay"]).0, Some(0), "all endpoints");
    calls.recv().expect("the backend is called again");
    let (code, printed) = hooks(&["replay", "news"]);
    assert!(code == Some(2) && printed.contains("the webhook endpoints are chat"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_webhook_endpoints_lists_none() {
    let (_server, address) = api(&[]);
    let through = format!("http://{address}");
    let hooks = |args: &[&str]| shell("hooks", &[args, &["--url", &through]].concat(), Some(KEY));
    assert_eq!(hooks(&["status"]), (Some(0), String::new()));
    let (code, printed) = hooks(&["replay", "chat"]);
    assert!(code == Some(2) && printed.contains("this server has no webhook endpoints"), "{printed}");
}

/// The sockets of the next reports of a kind.
fn sockets_of(calls: &Receiver<(String, Value)>, kind: &str, count: usize) -> Vec<String> {
    let mut sockets = Vec::new();
    while sockets.len() < count {
        let (_, body) = calls.recv().expect("the backend runs");
        let reports =
            body["reports"].as_array().expect("a list").iter().filter(|report| report["type"] == kind);
        sockets.extend(reports.map(|report| report["socket"].as_str().expect("an id").to_owned()));
    }
    sockets.sort();
    sockets
}

#[expect(clippy::disallowed_methods, reason = "it measures what a backend would")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_killed_node_are_reported_by_one_that_starts_after_its_lease() {
    const LEASE_MS: u64 = 1000;
    let redis = RedisServer::start().await;
    let (url, calls) = backend("200 OK");
    let lease = format!("node.lease_ms={LEASE_MS}");
    let settings = [format!("redis={}", redis.url()), endpoint(&url, r#""connected","disconnected""#), lease];
    let settings = settings.each_ref().map(String::as_str);
    let (killed, address) = api(&settings);
    let _peer = killed.peer().await;
    let connected = sockets_of(&calls, "connected", 1);
    let key = format!("Bearer {KEY}");
    until("the store has the socket", async || {
        let answer = send(&address, "GET", "/api/v1/info", &[("Authorization", &key)], "");
        answer.is_some_and(|answer| answer.body["sockets"] == 1)
    })
    .await;
    killed.signal("-KILL");
    // No node is there to notice when the lease expires.
    tokio::time::sleep(Duration::from_millis(LEASE_MS + 500)).await;
    let _next = api(&settings);
    assert_eq!(sockets_of(&calls, "disconnected", 1), connected);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: a whole lease of the default length"]
async fn a_thousand_clients_of_a_killed_node_are_reported_once_within_its_lease_and_two_seconds() {
    const CLIENTS: usize = 1000;
    const LEASE: Duration = Duration::from_secs(6);
    let redis = RedisServer::start().await;
    let (url, calls) = backend("200 OK");
    let settings = [format!("redis={}", redis.url()), endpoint(&url, r#""connected","disconnected""#)];
    let settings = settings.each_ref().map(String::as_str);
    let ((killed, _), (_living, address)) = (api(&settings), api(&settings));
    let mut peers = Vec::new();
    for _ in 0..CLIENTS {
        peers.push(killed.peer().await);
    }
    let connected = sockets_of(&calls, "connected", CLIENTS);
    let key = format!("Bearer {KEY}");
    until("the store has all sockets", async || {
        let answer = send(&address, "GET", "/api/v1/info", &[("Authorization", &key)], "");
        answer.is_some_and(|answer| answer.body["sockets"] == CLIENTS)
    })
    .await;
    let killed_at = now();
    killed.signal("-KILL");
    let disconnected = sockets_of(&calls, "disconnected", CLIENTS);
    assert_eq!(disconnected, connected, "each once");
    let took = killed_at.elapsed();
    println!("{CLIENTS} ends were reported {took:?} after the kill");
    assert!(took < LEASE + Duration::from_secs(2), "{took:?}");
    assert!(calls.try_recv().is_err(), "nothing is reported twice");
}
