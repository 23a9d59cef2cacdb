//! Runs the examples as separate programs on free ports: one exchange with each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use switchboard_testkit::{Peer, soon};

/// A running example; it ends with this value.
struct Example {
    process: Child,
    /// Host and port.
    address: String,
}

impl Example {
    /// Starts an example on a free port and reads its address from its first line.
    async fn start(name: &'static str) -> Self {
        let mut process = Command::new(path_of(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo builds the examples with the tests");
        let output = process.stdout.take().expect("it is piped");
        let mut example = Example { process, address: String::new() };
        let first_line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = soon("the address is printed", first_line).await.unwrap().unwrap();
        let (_, address) = line.trim().split_once("://").unwrap_or_else(|| panic!("{line} has an address"));
        example.address = address.trim_end_matches('/').to_owned();
        example
    }

    async fn peer(&self, path: &str) -> Peer {
        Peer::connect(&format!("ws://{}{path}", self.address)).await
    }

    /// Sends an HTTP request and returns the answer with its head.
    fn http(&self, request_line: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (address, length) = (&self.address, body.len());
        let head = format!("{request_line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill(); // It may have ended before.
        let _ = self.process.wait();
    }
}

fn path_of(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    test.ancestors().nth(2).expect("tests are in `deps`").join("examples").join(example)
}

#[tokio::test]
async fn the_chat_sends_lines_to_those_who_have_joined() {
    let chat = Example::start("chat").await;
    let [mut ann, mut bob] = [chat.peer("/").await, chat.peer("/").await];
    assert_eq!(ann.request("/message", json!({ "text": "hi" })).await["code"], "not_in_room");
    assert_eq!(ann.request("/join", json!({ "username": "Ann" })).await, json!({ "joined": true }));
    assert_eq!(bob.request("/join", json!({ "username": "Bob" })).await, json!({ "joined": true }));
    assert_eq!(ann.next_event().await, ("user-joined".into(), json!({ "username": "Bob" })));
    bob.emit("/message", json!({ "text": "hello" })).await;
    for peer in [&mut ann, &mut bob] {
        let line = json!({ "username": "Bob", "text": "hello" });
        assert_eq!(peer.next_event().await, ("message".into(), line));
    }
}

#[tokio::test]
async fn the_axum_app_serves_a_page_and_sends_posted_news_to_its_websockets() {
    let app = Example::start("axum_app").await;
    let page = app.http("GET /", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>News</title>"), "{page}");
    let [mut ann, mut bob] = [app.peer("/ws").await, app.peer("/ws").await];
    let answer = app.http("POST /news", "the sun shines");
    assert!(answer.ends_with("sent to 2 connections\n"), "{answer}");
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.next_event().await, ("news".into(), json!("the sun shines")));
    }
    assert_eq!(ann.request("/say", json!("hi")).await, json!({ "receivers": 1 }));
    assert_eq!(bob.next_event().await, ("said".into(), json!("hi")));
}

#[tokio::test]
async fn the_echo_server_returns_every_message() {
    let echo = Example::start("ws_echo").await;
    let mut peer = echo.peer("/").await;
    peer.send_text("not even JSON").await;
    assert_eq!(peer.next_text().await, "not even JSON");
}
