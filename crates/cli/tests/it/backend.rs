//! Backends: what they ask of the HTTP API, and what shells do in their place.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_testkit::Peer;
use tokio::time::timeout;

use crate::clients::{ask, until};
use crate::support::{SWITCHBOARD, Server};

pub(crate) const KEY: &str = "0123456789abcdef-key";

/// A demo with the API, and where that is.
pub(crate) fn api(sets: &[&str]) -> (Server, String) {
    let key = format!("api.keys={KEY}");
    let all = [&key, "api.listen=127.0.0.1:0", "stop.window_ms=0"].into_iter().chain(sets.iter().copied());
    let server =
        Server::start(&[&["demo"], &*all.flat_map(|set| ["--set", set]).collect::<Vec<_>>()].concat());
    let after = server.banner.split("  api      http://").nth(1).expect("the banner names it");
    let address = after.split('/').next().expect("an address").to_owned();
    (server, address)
}

/// What is answered: the status, the head and the body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Asks; `None` if nobody answers.
pub(crate) fn post(address: &str, endpoint: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST /api/v1/{endpoint} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    // It may answer, and close, before it has read all of the body.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or_default(),
    })
}

/// With the key of [`api`].
pub(crate) fn call(address: &str, endpoint: &str, body: &Value) -> Answer {
    let key = format!("Bearer {KEY}");
    post(address, endpoint, &[("Authorization", &key)], &body.to_string()).expect("an answer")
}

/// The same under a name, by which it may be called again.
pub(crate) fn called(address: &str, endpoint: &str, name: &str, body: &Value) -> Answer {
    let headers = [("Authorization", &*format!("Bearer {KEY}")), ("Idempotency-Key", name)];
    post(address, endpoint, &headers, &body.to_string()).expect("an answer")
}

pub(crate) fn to_seven(n: usize) -> Value {
    json!({ "type": "SAID", "data": n, "to": { "users": ["7"] } })
}

/// A socket of user 7.
pub(crate) async fn seven(server: &Server) -> Peer {
    let mut peer = Peer::connect(&server.url()).await;
    ask(&mut peer, "/login", json!({ "userId": "7" })).await;
    peer
}

/// What it hears of this type, whatever else comes.
pub(crate) async fn said(peer: &mut Peer) -> Value {
    loop {
        let (event, data) = peer.next_event().await;
        if event == "SAID" {
            return data;
        }
    }
}

/// Waits until a socket hears what the API at `address` sends to its user.
pub(crate) async fn until_heard(peer: &mut Peer, user: &str, address: &str) {
    until("what is sent to the user is heard", async || {
        call(address, "dispatch", &json!({ "type": "HI", "to": { "users": [user] } }));
        let is_heard = async { while !peer.next().await.to_string().contains("HI") {} };
        timeout(Duration::from_millis(50), is_heard).await.is_ok()
    })
    .await;
}

/// Runs a command of the binary; its status, and all that it prints.
pub(crate) fn shell(name: &str, args: &[&str], key: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(SWITCHBOARD);
    command.arg(name).args(args).env_remove("DISPATCH_KEY");
    command.envs(key.map(|key| ("DISPATCH_KEY", key)));
    let output = command.output().expect("the binary runs");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("it is text"))
}
