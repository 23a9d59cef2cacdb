//! Backends: requests to the HTTP API, and the commands for a shell.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_testkit::Peer;
use tokio::time::timeout;

use crate::clients::{request, until};
use crate::support::{SWITCHBOARD, Server};

pub(crate) const KEY: &str = "0123456789abcdef-key";

/// Starts a demo with the API, and returns the address of the API.
pub(crate) fn api(sets: &[&str]) -> (Server, String) {
    api_by(&mut Command::new(SWITCHBOARD), sets)
}

/// Like [`api`], with a command that runs the binary.
pub(crate) fn api_by(command: &mut Command, sets: &[&str]) -> (Server, String) {
    let key = format!("api.keys={KEY}");
    let all = [&key, "api.listen=127.0.0.1:0", "stop.window_ms=0"].into_iter().chain(sets.iter().copied());
    let server = Server::spawn(command.arg("demo").args(all.flat_map(|set| ["--set", set])));
    let after = server.banner.split("  api      http://").nth(1).expect("the banner names it");
    let address = after.split('/').next().expect("an address").to_owned();
    (server, address)
}

/// A response: status, head and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Sends a request to an endpoint; `None` if the connection fails.
pub(crate) fn post(address: &str, endpoint: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    send(address, "POST", &format!("/api/v1/{endpoint}"), headers, body)
}

/// Sends a request; `None` if the connection fails.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    // The server may respond and close before it has read the whole body.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // Files of the page of the API are compressed.
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or_default(),
    })
}

/// Sends a request with the key of [`api`].
pub(crate) fn call(address: &str, endpoint: &str, body: &Value) -> Answer {
    let key = format!("Bearer {KEY}");
    post(address, endpoint, &[("Authorization", &key)], &body.to_string()).expect("an answer")
}

/// Like [`call`], with an `Idempotency-Key`.
pub(crate) fn call_idempotent(address: &str, endpoint: &str, name: &str, body: &Value) -> Answer {
    let headers = [("Authorization", &*format!("Bearer {KEY}")), ("Idempotency-Key", name)];
    post(address, endpoint, &headers, &body.to_string()).expect("an answer")
}

/// The results of a batch.
pub(crate) fn results(answer: &Answer) -> &[Value] {
    answer.body["results"].as_array().unwrap_or_else(|| panic!("{}", answer.body))
}

pub(crate) fn message_to_seven(n: usize) -> Value {
    json!({ "type": "SAID", "data": n, "to": { "users": ["7"] } })
}

/// Connects a socket of user 7.
pub(crate) async fn connect_seven(server: &Server) -> Peer {
    let mut peer = Peer::connect(&server.url()).await;
    request(&mut peer, "/login", json!({ "userId": "7" })).await;
    peer
}

/// The data of the next `SAID` event; other events are skipped.
pub(crate) async fn next_message(peer: &mut Peer) -> Value {
    loop {
        let (event, data) = peer.next_event().await;
        if event == "SAID" {
            return data;
        }
    }
}

/// Repeats a dispatch through the API at `address` until the socket of its user receives it.
pub(crate) async fn wait_for_delivery(peer: &mut Peer, user: &str, address: &str) {
    until("a dispatch to the user is received", async || {
        call(address, "dispatch", &json!({ "type": "HI", "to": { "users": [user] } }));
        let is_received = async { while !peer.next().await.to_string().contains("HI") {} };
        timeout(Duration::from_millis(50), is_received).await.is_ok()
    })
    .await;
}

/// Runs a command of the binary; returns its status and its output.
pub(crate) fn shell(name: &str, args: &[&str], key: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(SWITCHBOARD);
    command.arg(name).args(args).env_remove("DISPATCH_KEY");
    command.envs(key.map(|key| ("DISPATCH_KEY", key)));
    let output = command.output().expect("the binary runs");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("it is text"))
}
