//! The rate of plain HTTP requests on the address of the WebSockets.

use axum::routing::get;
use axum::{Extension, Router};
use switchboard::rates::RequestCost;
use switchboard::{App, Koji};
use switchboard_testkit::{KojiPeer, RawPeer, TestServer};

use crate::app;
use crate::support::limits;

/// Few enough that the test sees the limit, and so slow that nothing is refilled meanwhile.
fn with_requests(app: App, per_s: u32) -> App {
    app.with_limits(limits(|limits| limits.http_requests_per_s = Some(per_s)))
}

/// The answer to a request on a connection of its own.
async fn request(server: &TestServer, head: &str) -> String {
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
    String::from_utf8(peer.read_to_end().await).unwrap()
}

/// Requests until the address has exceeded its rate; returns the refusal.
async fn until_refused(server: &TestServer, head: &str, accepted: &str) -> String {
    for _ in 0..1000 {
        let answer = request(server, head).await;
        if answer.starts_with("HTTP/1.1 429") {
            return answer;
        }
        assert!(answer.starts_with(accepted), "{answer}");
    }
    panic!("a thousand requests are answered");
}

#[tokio::test]
async fn requests_over_the_rate_of_an_address_are_answered_with_429_and_when_to_retry() {
    let server = TestServer::start(with_requests(app().with_koji(Koji::new()), 1)).await;
    let refusal = until_refused(&server, "GET /info/p HTTP/1.1", "HTTP/1.1 200").await;
    assert!(refusal.contains("\r\nretry-after: 1\r\n"), "{refusal}");
    assert!(refusal.ends_with("this address may send 1 requests per second\n"), "{refusal}");
    KojiPeer::join(&server, "projectId=p").await.quiet().await;
}

#[tokio::test]
async fn refused_handshakes_count_as_requests_and_accepted_ones_do_not() {
    let server = TestServer::start(with_requests(app(), 1)).await;
    for _ in 0..10 {
        server.peer().await.quiet().await;
    }
    until_refused(&server, "GET / HTTP/1.1", "HTTP/1.1 426").await;
    let without_key =
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13";
    until_refused(&server, without_key, "HTTP/1.1 400").await;
    server.peer().await.quiet().await;
}

#[tokio::test]
async fn an_expensive_answer_counts_as_many_requests() {
    let answer = get(async || (Extension(RequestCost(1_000_000)), "a long report"));
    let pages = Router::new().route("/report", answer).route("/page", get(async || "a page"));
    let server = TestServer::start(with_requests(app().with_http(pages), 100)).await;
    assert!(request(&server, "GET /page HTTP/1.1").await.ends_with("a page"));
    assert!(request(&server, "GET /report HTTP/1.1").await.ends_with("a long report"));
    assert!(request(&server, "GET /page HTTP/1.1").await.starts_with("HTTP/1.1 429"));
}

#[tokio::test]
async fn a_long_list_of_shards_counts_by_its_size() {
    let server = TestServer::start(with_requests(app().with_koji(Koji::new()), 2)).await;
    let mut clients = Vec::new();
    // An entry has over 256 bytes, so that sixteen of them fill the unit of the cost.
    for n in 0..100 {
        clients.push(KojiPeer::join(&server, &format!("projectId=p&shardName={n:0>230}")).await);
    }
    let list = request(&server, "GET /info/p HTTP/1.1").await;
    assert!(list.starts_with("HTTP/1.1 200") && list.len() > 6 * 4096, "{} bytes", list.len());
    assert!(request(&server, "GET /info/other HTTP/1.1").await.starts_with("HTTP/1.1 429"));
}
