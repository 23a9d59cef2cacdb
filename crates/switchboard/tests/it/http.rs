//! HTTP connections: bounds on the time and the size of requests, idle connections, and the stop.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::json;
use switchboard::net::{AcceptOptions, HttpClient};
use switchboard::{App, ConnectionInfo, Limits, Reply, Stopping, serve, serve_http};
use switchboard_testkit::raw::HANDSHAKE;
use switchboard_testkit::{Peer, RawPeer, TestServer, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::app;
use crate::support::limits;

/// No test waits this long.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

/// Longer than what the kernel buffers.
const LARGE: usize = 64 * 1024 * 1024;

const REQUEST: &[u8] = b"GET /page HTTP/1.1\r\nHost: test\r\n\r\n";
const HALF_A_HEAD: &[u8] = b"GET /page HTTP/1.1\r\nHost:";
const HALF_A_BODY: &[u8] = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf";

fn routes() -> Router {
    let length = post(async |body: String| body.len().to_string());
    let large = get(async || "x".repeat(LARGE));
    Router::new().route("/page", get(async || "a page")).route("/length", length).route("/large", large)
}

/// The addresses of a router on its own and of one beside WebSockets.
#[expect(clippy::disallowed_methods, reason = "a task of the test")]
async fn both_kinds(limits: &Limits) -> ([SocketAddr; 2], TestServer) {
    let beside = TestServer::start(app().with_http(routes()).with_limits(limits.clone())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alone = listener.local_addr().unwrap();
    tokio::spawn(serve_http(listener, routes(), limits.clone()).into_future());
    ([alone, beside.address], beside)
}

/// Sends bytes and returns everything until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut peer = RawPeer::connect(address).await;
    peer.send(bytes).await;
    String::from_utf8(peer.read_to_end().await).unwrap()
}

#[tokio::test]
async fn half_a_request_is_cut_off() {
    let limits = limits(|limits| {
        limits.handshake_timeout = SHORT;
        limits.http_body_timeout = SHORT;
        limits.http_keep_alive_timeout = SHORT;
    });
    let (addresses, _beside) = both_kinds(&limits).await;
    for address in addresses {
        for bytes in [b"", &HALF_A_HEAD[..1], HALF_A_HEAD] {
            assert_eq!(exchange(address, bytes).await, "");
        }
        let answer = exchange(address, HALF_A_BODY).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let answer = exchange(address, &[REQUEST, HALF_A_HEAD].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("a page"), "{answer}");
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_handshake_time_out() {
    let limits = limits(|limits| limits.handshake_timeout = SHORT);
    let (addresses, _beside) = both_kinds(&limits).await;
    for address in addresses {
        let mut idle = RawPeer::connect(address).await;
        idle.send(REQUEST).await;
        assert!(idle.read_head().await.starts_with("HTTP/1.1 200"));
        assert_eq!(exchange(address, b"").await, "", "the time-out of a later connection has passed");
        idle.send(&REQUEST.replace_connection()).await;
        let rest = String::from_utf8(idle.read_to_end().await).unwrap();
        assert!(rest.contains("HTTP/1.1 200"), "{rest}");
    }
}

trait ReplaceConnection {
    /// The request with `Connection: close`.
    fn replace_connection(&self) -> Vec<u8>;
}

impl ReplaceConnection for [u8] {
    fn replace_connection(&self) -> Vec<u8> {
        [&self[..self.len() - 2], b"Connection: close\r\n\r\n"].concat()
    }
}

#[tokio::test]
async fn an_idle_connection_ends_after_the_keep_alive_time_out() {
    let limits = limits(|limits| {
        limits.handshake_timeout = Duration::ZERO;
        limits.http_keep_alive_timeout = SHORT;
    });
    let (addresses, _beside) = both_kinds(&limits).await;
    for address in addresses {
        let answer = exchange(address, REQUEST).await;
        assert!(answer.ends_with("a page"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_with_431() {
    let (addresses, beside) = both_kinds(&Limits::default()).await;
    let with = |request: &str, header: &str| request.replacen("\r\n", &format!("\r\n{header}\r\n"), 1);
    let page = str::from_utf8(REQUEST).unwrap();
    let large = format!("Cookie: {}", "x".repeat(20_000));
    let many = ["X: y"; 4000].join("\r\n");
    let long = format!("GET /{} ", "x".repeat(20_000));
    for address in addresses {
        for request in [with(page, &large), with(page, &many), page.replace("GET /page ", &long)] {
            let answer = exchange(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }
    for request in [with(HANDSHAKE, &large), with(HANDSHAKE, &many), HANDSHAKE.replace("GET / ", &long)] {
        let answer = exchange(beside.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let mut peer = RawPeer::connect(beside.address).await;
    peer.send(with(HANDSHAKE, &format!("Cookie: {}", "x".repeat(15_000))).as_bytes()).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn the_limit_of_the_head_also_applies_to_an_app_in_an_axum_router() {
    let live = app().with_limits(limits(|limits| limits.header_bytes_max = 2000));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = axum::serve(listener, live.into_router()).into_future();
    let connecting = async {
        let cookie = "x".repeat(2000);
        let refused = Peer::try_connect(&url, &[("cookie", &cookie)]).await.err().unwrap();
        assert!(refused.contains("431"), "{refused}");
        Peer::connect(&url).await.quiet().await;
    };
    tokio::select! {
        () = connecting => {}
        ended = serving => ended.unwrap(),
    }
}

#[tokio::test]
async fn a_request_without_exactly_one_host_is_refused_with_400() {
    let (addresses, beside) = both_kinds(&Limits::default()).await;
    let variants = |request: &str| {
        let [none, two, bad] = ["", "Host: test\r\nHost: test\r\n", "Host: a b\r\n"];
        [none, two, bad].map(|hosts| request.replace("Host: test\r\n", hosts))
    };
    for address in addresses {
        for request in variants(str::from_utf8(REQUEST).unwrap()) {
            let mut peer = RawPeer::connect(address).await;
            peer.send(request.as_bytes()).await;
            assert!(peer.read_head().await.starts_with("HTTP/1.1 400"), "{request}");
        }
        let answer = exchange(address, b"GET /page HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        let two_lengths =
            "POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx";
        let answer = exchange(address, two_lengths.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    for request in variants(HANDSHAKE) {
        let mut peer = RawPeer::connect(beside.address).await;
        peer.send(request.as_bytes()).await;
        assert!(peer.read_head().await.starts_with("HTTP/1.1 400"), "{request}");
    }
}

#[tokio::test]
async fn a_handshake_with_a_repeated_key_or_version_is_refused_with_400() {
    let server = TestServer::start(app()).await;
    for line in
        ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Content-Length: 3"]
    {
        let twice = HANDSHAKE.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(twice.as_bytes()).await;
        assert!(peer.read_head().await.starts_with("HTTP/1.1 400"), "{line}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut_off() {
    let (addresses, _beside) = both_kinds(&limits(|limits| limits.http_body_timeout = SHORT)).await;
    for address in addresses {
        let mut peer = RawPeer::connect(address).await;
        peer.send(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n").await;
        // The peer reads nothing until the server has closed the connection, so that its own sends fail.
        soon("the connection is cut", async { while peer.stream.write_all(b"x").await.is_ok() {} }).await;
        assert!(peer.read_to_end().await.len() < LARGE);
    }
}

#[tokio::test]
async fn connections_without_a_complete_request_do_not_delay_the_stop() {
    let slow = limits(|limits| {
        limits.handshake_timeout = LONG;
        limits.http_body_timeout = LONG;
        limits.http_keep_alive_timeout = LONG;
    });
    let (starts, mut started) = mpsc::channel(1);
    let wait = get(async move || {
        starts.try_send(()).unwrap();
        tokio::time::sleep(SHORT).await;
        "finished"
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = serve(listener, app().with_http(routes().route("/wait", wait)).with_limits(slow))
        .with_graceful_shutdown(async { drop(stopped.await) })
        .with_stopping(Stopping::default().with_timeout(LONG));
    let peers = async {
        let mut peers = Vec::new();
        let wait: &[u8] = b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n";
        let unread: &[u8] = b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n";
        let half_of_the_next = [REQUEST, HALF_A_HEAD].concat();
        for bytes in [b"", HALF_A_HEAD, HALF_A_BODY, wait, unread, &half_of_the_next, REQUEST] {
            let mut peer = RawPeer::connect(address).await;
            peer.send(bytes).await;
            peers.push(peer);
        }
        assert!(peers.last_mut().unwrap().read_head().await.starts_with("HTTP/1.1 200"));
        soon("the handler runs", started.recv()).await.unwrap();
        drop(stop);
        let finished = String::from_utf8(peers[3].read_to_end().await).unwrap();
        assert!(finished.ends_with("finished"), "a request in progress is answered: {finished}");
        peers
    };
    let (served, _peers) = soon("the stop", async { tokio::join!(serving.into_future(), peers) }).await;
    served.unwrap();
}

#[tokio::test]
async fn handlers_read_the_headers_that_the_options_keep() {
    let headers = async |info: ConnectionInfo| {
        let names: Vec<&str> = info.headers().map(|(name, _)| name).collect();
        Reply(json!([names, info.header("Accept-Language"), info.header("cookie")]))
    };
    let sent = [("cookie", "a=1"), ("accept-language", "fi"), ("x-other", "y")];
    let read = async |app: App| {
        let server = TestServer::start(app.on("/headers", headers)).await;
        Peer::try_connect(&server.url("/"), &sent).await.unwrap().request("/headers", json!({})).await
    };
    assert_eq!(read(App::new()).await, json!([["cookie"], null, "a=1"]));
    let kept_headers = vec!["accept-language".parse().unwrap()];
    let options = AcceptOptions { kept_headers, ..AcceptOptions::default() };
    assert_eq!(read(App::new().with_accept_options(options)).await, json!([["accept-language"], "fi", null]));
}

#[tokio::test]
async fn routes_know_the_client_that_trusted_proxies_report() {
    let client = get(async |Extension(client): Extension<HttpClient>| {
        let ip = client.ip().map(|ip| ip.to_string()).unwrap_or_default();
        let host = client.reported_host().unwrap_or("none").to_owned();
        format!("{ip} {host} {} {}", client.is_secure(), client.is_proxied())
    });
    let reported = async |proxies: &str| {
        let trusted_proxies = vec![proxies.parse().unwrap()];
        let options = AcceptOptions { trusted_proxies, ..AcceptOptions::default() };
        let routes = Router::new().route("/client", client.clone());
        let server = TestServer::start(app().with_http(routes).with_accept_options(options)).await;
        let request = "GET /client HTTP/1.1\r\nHost: own\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
                       X-Forwarded-Host: chat.example\r\nConnection: close\r\n\r\n";
        exchange(server.address, request.as_bytes()).await.rsplit("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(reported("127.0.0.1/32").await, "1.1.1.1 chat.example true true");
    assert_eq!(reported("10.0.0.0/8").await, "127.0.0.1 none false false");
}
