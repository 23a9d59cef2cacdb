//! The file of webhooks on a node without Redis: the next start delivers the reports that a killed server had not delivered.

use std::process::{Command, ExitStatus};
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};
use switchboard_testkit::{Peer, Scratch};

use crate::clients::until;
use crate::hooks::{backend, endpoint};
use crate::support::Server;

const MESSAGES: usize = 200;

/// Large enough that the file has to grow.
const MESSAGE_BYTES: usize = 20_000;

/// A server that reports messages to a URL, with a file.
fn start(url: &str, file: &str) -> Server {
    let (endpoint, file) = (endpoint(url, r#""message""#), format!("hooks.file={file}"));
    let unlimited = "limits.messages_per_s=100000";
    Server::start(&["demo", "--set", &endpoint, "--set", &file, "--set", unlimited])
}

/// The value of a metric; `None` if the server refuses so many queries.
fn metric(server: &Server, name: &str) -> Option<u64> {
    let metrics = server.get("/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

fn unwritten_bytes(server: &Server) -> Option<u64> {
    metric(server, r#"switchboard_queue_bytes{queue="webhook_file"}"#)
}

fn backlog(server: &Server) -> Option<u64> {
    metric(server, r#"switchboard_webhook_backlog_reports{endpoint="chat"}"#)
}

/// Sends numbered messages that no handler takes, until all are queued.
async fn send(server: &Server, peer: &mut Peer, bytes: usize) {
    for number in 0..MESSAGES {
        peer.emit("/unhandled", json!({ "n": number, "filler": "x".repeat(bytes) })).await;
    }
    until("all messages are queued", async || backlog(server) == Some(MESSAGES as u64)).await;
}

fn kill(server: Server) {
    server.signal("-KILL");
    server.ended();
}

/// The numbers of all messages, in the order of their arrival.
fn numbers(calls: &Receiver<(String, Value)>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < MESSAGES {
        let (_, body) = calls.recv().expect("the backend runs");
        let reports = body["reports"].as_array().expect("a list");
        numbers.extend(reports.iter().map(|report| report["data"]["n"].as_u64().expect("its number")));
    }
    numbers
}

fn limit_file_size(server: &Server, bytes: &str) {
    let (pid, limit) = (server.pid().to_string(), format!("--fsize={bytes}:unlimited"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(status.as_ref().is_ok_and(ExitStatus::success));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_delivers_its_reports_in_order_after_its_next_start() {
    let scratch = Scratch::new();
    let file = scratch.file("hooks.redb");
    let (url, _calls) = backend("503 Service Unavailable");
    let server = start(&url, &file);
    let mut peer = server.peer().await;
    send(&server, &mut peer, 0).await;
    until("they are in the file", async || unwritten_bytes(&server) == Some(0)).await;
    kill(server);
    let (url, calls) = backend("200 OK");
    let server = start(&url, &file);
    assert_eq!(numbers(&calls), (0..MESSAGES as u64).collect::<Vec<_>>());
    until("they are accepted", async || backlog(&server) == Some(0)).await;
    until("the file is empty", async || unwritten_bytes(&server) == Some(0)).await;
    server.signal("-TERM");
    assert_eq!(server.ended().0, Some(0));
    let (url, calls) = backend("200 OK");
    let server = start(&url, &file);
    let mut peer = server.peer().await;
    peer.emit("/unhandled", json!({ "n": "new" })).await;
    let (_, body) = calls.recv().expect("the backend runs");
    assert_eq!(body["reports"][0]["data"]["n"], "new", "accepted reports are not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_written_once_it_may_and_no_report_is_lost() {
    let scratch = Scratch::new();
    let file = scratch.file("hooks.redb");
    let (url, _calls) = backend("503 Service Unavailable");
    let server = start(&url, &file);
    let bytes = std::fs::metadata(&file).expect("it exists").len();
    limit_file_size(&server, &bytes.to_string());
    let mut peer = server.peer().await;
    send(&server, &mut peer, MESSAGE_BYTES).await;
    until("the file has no room for them", async || unwritten_bytes(&server).is_some_and(|bytes| bytes > 0))
        .await;
    limit_file_size(&server, "unlimited");
    until("they are in the file", async || unwritten_bytes(&server) == Some(0)).await;
    kill(server);
    let (url, calls) = backend("200 OK");
    let _server = start(&url, &file);
    assert_eq!(numbers(&calls), (0..MESSAGES as u64).collect::<Vec<_>>());
}

#[test]
fn a_second_server_with_the_same_file_does_not_start() {
    let scratch = Scratch::new();
    let file = scratch.file("hooks.redb");
    let (url, _calls) = backend("200 OK");
    let _server = start(&url, &file);
    let (endpoint, set) = (endpoint(&url, r#""message""#), format!("hooks.file={file}"));
    let listen = ["--set", "listen=127.0.0.1:0", "--set", &set, "--set", &endpoint];
    let output = crate::support::run(&[&["demo"], &listen[..]].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && error.contains(&file), "{error}");
}
