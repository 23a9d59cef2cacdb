//! Refused handshakes and requests.

use std::io::{Read, Write};
use std::net::TcpStream;

use switchboard_testkit::{RedisServer, until};

use crate::support::{Server, get, upgraded};

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends bytes and returns the answer up to the end of its head.
fn answer(server: &Server, bytes: &str) -> String {
    let mut stream = TcpStream::connect(&server.address).expect("the server listens");
    stream.write_all(bytes.as_bytes()).expect("the connection is open");
    let (mut head, mut byte) = (String::new(), [0]);
    while !head.ends_with("\r\n\r\n") && stream.read(&mut byte).is_ok_and(|len| len > 0) {
        head.push(byte[0].into());
    }
    head
}

#[test]
fn every_refusal_is_counted_with_its_reason() {
    let server = Server::start(&[
        "serve",
        "--set=internal.listen=127.0.0.1:0",
        "--set=access=open",
        "--set=clients.trusted_proxies=[\"127.0.0.1/32\"]",
        "--set=clients.allowed_origins=[\"https://a.example\"]",
        "--set=limits.connections_per_address_max=1",
        "--set=limits.handshake_timeout_ms=100",
        "--set=projects.every.connections_max=1",
    ]);
    let get_with = |path: &str, lines: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    let handshake = |path: &str, lines: &str| get_with(path, &format!("{lines}{HANDSHAKE}"));
    let from = "X-Forwarded-For: 192.0.2.1\r\n";
    let mut first = TcpStream::connect(&server.address).expect("the server listens");
    first.write_all(handshake("/", from).as_bytes()).expect("the connection is open");
    first.read_exact(&mut [0; 12]).expect("an answer");
    for (reason, request, status) in [
        ("bad_request", get_with("/", "Host: y\r\n"), "400"),
        ("bad_request", "no HTTP\r\n\r\n".into(), "400"),
        ("bad_request", handshake("/", "Host: y\r\n"), "400"),
        ("head_too_large", get_with("/", &format!("X: {}\r\n", "y".repeat(20_000))), "431"),
        ("timeout", "GET / HTTP/1.1\r\n".into(), ""),
        ("origin", handshake("/", "Origin: https://b.example\r\n"), "403"),
        ("address", handshake(&format!("/koji?projectId={}", "x".repeat(300)), ""), "400"),
        ("address_full", handshake("/", from), "429"),
    ] {
        let (before, answer) = (refused(&server, reason), answer(&server, &request));
        assert_eq!(answer.get(9..12).unwrap_or_default(), status, "{reason}: {answer}");
        until_refused(&server, reason, before + 1);
    }
    let mut seated = upgraded(&server.address, "/?projectId=p");
    // The seat is taken after the handshake, and before the first frame.
    seated.read_exact(&mut [0; 4]).expect("a frame");
    let mut refused_seat = upgraded(&server.address, "/?projectId=p");
    let mut close = [0; 4];
    refused_seat.read_exact(&mut close).expect("a close frame");
    assert_eq!(close[2..], 1013_u16.to_be_bytes());
    until_refused(&server, "project_full", 1);
}

#[tokio::test]
async fn a_koji_client_without_a_seat_learns_nothing_about_the_store() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let server = Server::start(&["serve", &format!("--set=redis={url}")]);
    assert_eq!(seat_refusal(&server, &url), None);
    drop(redis);
    // Until the node has noticed.
    until("no seat is available", async || seat_refusal(&server, &url).is_some()).await;
    let reason = seat_refusal(&server, &url).expect("Redis is down");
    assert_eq!(reason, "no seat can be taken at present");
    assert!(refused(&server, "unavailable") >= 1);
}

/// Connects a Koji client. Returns the reason if it is closed with 1013.
fn seat_refusal(server: &Server, redis: &str) -> Option<String> {
    let mut stream = upgraded(&server.address, "/?projectId=p");
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    if head[0] != 0x88 {
        return None;
    }
    let mut payload = vec![0; head[1].into()];
    stream.read_exact(&mut payload).expect("a close frame");
    assert_eq!(payload[..2], 1013_u16.to_be_bytes());
    let reason = String::from_utf8(payload.split_off(2)).expect("a reason is text");
    assert!(!reason.contains(redis.trim_start_matches("redis://")), "{reason}");
    Some(reason)
}

/// Waits until that many refusals with a reason are counted: some are counted after the answer is sent.
fn until_refused(server: &Server, reason: &str, count: u32) {
    for _ in 0..1000 {
        if refused(server, reason) == count {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{reason} is counted {} times and not {count} times", refused(server, reason));
}

/// The number of refusals with a reason.
fn refused(server: &Server, reason: &str) -> u32 {
    let metrics = get(&server.health, "/metrics");
    let name = format!("switchboard_connections_refused_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
    count.map_or(0, |count| count.parse().expect("a count"))
}
