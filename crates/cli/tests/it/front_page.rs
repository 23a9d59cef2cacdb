//! The page of `serve` at `/`: its visitors, its address, and its headers.

use std::io::{Read, Write};
use std::net::TcpStream;

use switchboard_testkit::Peer;

use crate::support::Server;

const FILES: [&str; 4] = ["/", "/page/style.css", "/page/copy.js", "/page/icon.svg"];

/// A request with these headers; `Host` is not added.
fn get(server: &Server, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(&server.address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn is_page(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.contains("<h1>")
}

fn is_refused(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 404") && answer.ends_with("WebSocket clients connect to this address.\n")
}

#[test]
fn by_default_only_a_browser_on_this_machine_sees_the_page() {
    let server = Server::start(&["serve"]);
    assert!(server.banner.contains("shown to browsers on this machine"), "{}", server.banner);
    for host in [&*server.address, "localhost:3000", "localhost", "[::1]:3000"] {
        let answer = get(&server, "/", &format!("Host: {host}\r\n"));
        assert!(is_page(&answer), "{host}: {answer}");
    }
    for headers in [
        // A site that resolves its name to loopback.
        "Host: rebound.example\r\n",
        "Host: localhost.rebound.example\r\n",
        // A proxy that the settings do not name.
        "Host: localhost\r\nX-Forwarded-For: 1.1.1.1\r\n",
        "Host: localhost\r\nForwarded: for=1.1.1.1\r\n",
        "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n",
        "Host: localhost\r\nVia: 1.1 proxy\r\n",
    ] {
        for path in FILES {
            let answer = get(&server, path, headers);
            assert!(is_refused(&answer), "{path} {headers}: {answer}");
        }
    }
}

#[test]
fn behind_a_trusted_proxy_the_page_shows_the_address_that_the_browser_used() {
    let proxies = ["--set", "clients.trusted_proxies=127.0.0.1", "--set", "access=open"];
    let remote = "Host: inner:3000\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: chat.example\r\n";
    let server = Server::start(&[&["serve", "--set", "page.show=everyone"][..], &proxies].concat());
    let answer = get(&server, "/", remote);
    assert!(answer.contains("new WebSocket(&quot;wss://chat.example/&quot;)"), "{answer}");
    assert!(!answer.contains("inner"), "{answer}");
    let standard = "Host: inner:3000\r\nForwarded: for=1.1.1.1;proto=https;host=\"chat.example:8443\"\r\n";
    assert!(get(&server, "/", standard).contains("wss://chat.example:8443/"));

    let local_only = Server::start(&[&["serve"][..], &proxies].concat());
    assert!(is_refused(&get(&local_only, "/", remote)));
    let local = "Host: localhost:8080\r\nX-Forwarded-For: 127.0.0.1\r\n";
    assert!(get(&local_only, "/", local).contains("ws://localhost:8080/"));
}

#[test]
fn an_invalid_host_never_reaches_the_page() {
    let server = Server::start(&[
        "serve",
        "--set",
        "page.show=everyone",
        "--set",
        "clients.trusted_proxies=127.0.0.1",
        "--set",
        "access=open",
    ]);
    let own = format!("ws://{}/", server.address);
    for evil in [
        "\"><script>alert(1)</script>",
        "');alert(1)//",
        "a`${alert(1)}`",
        "evil<b>",
        "javascript:alert(1)",
        "user@evil",
        "evil/path",
        "evil:99999",
        "{{version}}",
        "&quot;evil",
    ] {
        for headers in [
            format!("Host: {evil}\r\n"),
            format!("Host: localhost\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: {evil}\r\n"),
            format!("Host: localhost\r\nForwarded: for=1.1.1.1;host=\"{evil}\"\r\n"),
        ] {
            let answer = get(&server, "/", &headers);
            // hyper refuses some of these hosts.
            if !answer.starts_with("HTTP/1.1 400") {
                assert!(answer.contains(&own) || answer.contains("ws://localhost/"), "{headers}{answer}");
            }
            for part in ["alert(1)", "evil", "99999"] {
                assert!(!answer.contains(part), "{headers}{answer}");
            }
        }
    }
}

#[test]
fn a_page_that_is_off_answers_as_an_address_without_pages() {
    let server = Server::start(&["serve", "--set", "page.show=off"]);
    assert!(!server.banner.contains("  page "), "{}", server.banner);
    for path in FILES {
        assert!(is_refused(&get(&server, path, "Host: localhost\r\n")), "{path}");
    }
}

#[test]
fn the_page_allows_no_inline_script_and_is_not_cached() {
    let server = Server::start(&["serve"]);
    for path in FILES {
        let answer = get(&server, path, "Host: localhost\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(header), "{path} lacks {header}: {answer}");
        }
    }
}

#[tokio::test]
async fn websockets_at_the_root_are_accepted_beside_the_page() {
    for show in ["local", "off"] {
        let server = Server::start(&["serve", "--set", &format!("page.show={show}")]);
        let mut peer = Peer::connect(&server.url()).await;
        assert_eq!(peer.request("/ping", serde_json::json!({})).await, serde_json::json!({ "pong": true }));
    }
}
