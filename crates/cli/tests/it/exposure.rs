//! A server that other machines can reach: it starts only with a decision about what clients may do.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use switchboard_testkit::{Peer, Scratch, until};

use crate::support::{Server, get, run};

const SECRET: &str = "auth.jwt_secret=a secret of this test, and long enough";

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn with_sets<'a>(command: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    [command].into_iter().chain(sets).collect()
}

fn token(claim: &str) -> String {
    let output = run(&["token", "make", "ann", "--set", SECRET, "--claim", claim]);
    text(output.stdout).trim().to_owned()
}

#[test]
fn serve_and_check_refuse_an_exposed_server_without_a_decision_and_name_both_ways() {
    for (sets, key) in [
        (&["listen=0.0.0.0:0"][..], "listen"),
        (&["listen=[::]:0"], "listen"),
        (&["listen=192.0.2.1:1"], "listen"),
        (&["mesa.enabled=true", "mesa.listen=0.0.0.0:0"], "mesa.listen"),
        (&["clients.trusted_proxies=10.0.0.1"], "clients.trusted_proxies"),
        (&["access=tokens"], "access"),
    ] {
        for command in ["serve", "check"] {
            let output = run(&with_sets(command, sets));
            let error = text(output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {sets:?}: {error}");
            assert!(error.contains(&format!("{key} is `")), "{command} {sets:?}: {error}");
            let lines: Vec<&str> = error.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(lines.len(), 3, "{error}");
            assert!(
                lines[1].contains("auth.jwt_secret") && lines[2].contains("access = \"open\""),
                "{error}"
            );
        }
    }
}

#[test]
fn an_exposed_server_is_accepted_with_a_key_with_rights_or_with_open_access() {
    for sets in [
        &["listen=0.0.0.0:0", "access=open"][..],
        &["listen=0.0.0.0:0", SECRET],
        &["listen=0.0.0.0:0", r##"projects.every.can={ "#news" = "j" }"##],
        &["listen=0.0.0.0:0", r##"projects.named.game.can={ "shard:*" = "js" }"##],
        &["clients.trusted_proxies=10.0.0.1", "access=open"],
        &["listen=127.0.0.1:0"],
        &["listen=[::1]:0"],
        &["listen=[::ffff:127.0.0.1]:0"],
        &["mesa.listen=0.0.0.0:0"],
    ] {
        let output = run(&[with_sets("check", sets), vec!["--settings-only"]].concat());
        assert_eq!(output.status.code(), Some(0), "{sets:?}: {}", text(output.stderr));
    }
}

#[test]
fn the_demo_listens_to_other_machines_only_if_it_is_wanted() {
    let output = run(&["demo", "--listen", "0.0.0.0:0"]);
    let error = text(output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("demo --public"), "{error}");
    // This machine does not have the address, so the server ends.
    let output = run(&["demo", "--public", "--listen", "192.0.2.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(output.stderr).contains("cannot listen on 192.0.2.1:1"));
}

#[tokio::test]
async fn the_banner_says_who_may_do_what_and_the_server_does_it() {
    let open = Server::start(&["serve"]);
    assert!(open.banner.contains("access   open: every client may do everything"), "{}", open.banner);
    assert_eq!(open.peer().await.request("/join", json!({ "room": "a" })).await, json!({ "joined": "a" }));
    let by_tokens = Server::start(&["serve", "--set", "access=tokens", "--set", SECRET]);
    assert!(by_tokens.banner.contains("access   by tokens"), "{}", by_tokens.banner);
    let mut stranger = by_tokens.peer().await;
    assert_eq!(stranger.request("/join", json!({ "room": "a" })).await["code"], "forbidden");
    assert_eq!(stranger.request("/message", json!({ "room": "a" })).await["code"], "forbidden");
    let path = format!("{}/?token={}", by_tokens.url(), token(r##"can={"#chat-*":"js"}"##));
    let mut ann = Peer::connect(&path).await;
    assert_eq!(ann.request("/join", json!({ "room": "chat-1" })).await, json!({ "joined": "chat-1" }));
    assert_eq!(ann.request("/join", json!({ "room": "staff" })).await["code"], "forbidden");
    let metrics = by_tokens.get("/metrics");
    assert!(metrics.contains("switchboard_forbidden_total{operation=\"join\"} 2\n"), "{metrics}");
    assert!(metrics.contains("switchboard_forbidden_total{operation=\"send\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_cookie_logs_a_page_of_the_same_host_in_and_refuses_others_with_the_settings_name() {
    let sets = ["--set", "access=tokens", "--set", SECRET, "--set", "auth.cookie=session"];
    let server = Server::start(&[&["serve"], &sets[..]].concat());
    let cookie = format!("session={}", token(r##"can={"#a":"j"}"##));
    let own = format!("http://{}", server.address);
    let connect = async |origin: &str| {
        Peer::try_connect(&server.url(), &[("cookie", cookie.as_str()), ("origin", origin)]).await
    };
    let mut page = connect(&own).await.expect("it is the same host");
    assert_eq!(page.request("/join", json!({ "room": "a" })).await, json!({ "joined": "a" }));
    assert!(connect("https://evil.example").await.err().expect("it is refused").contains("403"));
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("switchboard_connections_refused_total{reason=\"cookie_origin\"} 1\n"),
        "{metrics}"
    );
    page.close().await;
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("auth.cookie") && log.contains("clients.allowed_origins"), "{log}");
}

#[tokio::test]
async fn a_reload_applies_rights_to_connected_clients() {
    let scratch = Scratch::new();
    let file = scratch.file("switchboard.toml");
    let write = |rights: &str| {
        let settings = format!("access = \"tokens\"\n[projects.every.can]\n{rights}\n");
        std::fs::write(&file, settings).expect("the folder is the test's own");
    };
    write(r##""#a" = "js""##);
    let server = Server::start(&["serve", "--config", &file]);
    let mut peer = Peer::connect(&format!("{}/?sb=1", server.url())).await;
    assert_eq!(peer.next_event().await.0, "@session");
    assert_eq!(peer.request("/join", json!({ "room": "a" })).await, json!({ "joined": "a" }));
    write(r##""#b" = "js""##);
    server.signal("-HUP");
    let left = json!({ "rooms": ["#a"], "tags": [], "reason": "rule" });
    assert_eq!(peer.next_event().await, ("@left".into(), left));
    assert_eq!(peer.request("/join", json!({ "room": "b" })).await, json!({ "joined": "b" }));
    std::fs::write(&file, "access = \"tokens\"\n").expect("the folder is the test's own");
    server.signal("-HUP");
    until("the reload is refused", async || {
        server.get("/metrics").contains("switchboard_settings_reloads_total{outcome=\"failed\"} 1\n")
    })
    .await;
    assert_eq!(
        peer.request("/join", json!({ "room": "b" })).await,
        json!({ "joined": "b" }),
        "nothing has changed"
    );
}

fn status(address: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET /livez HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn the_internal_listener_answers_known_hosts_only_and_that_for_clients_everybody() {
    let sets = ["internal.listen=127.0.0.1:0", "internal.hosts=node-1.internal"];
    let server = Server::start(&with_sets("serve", &sets));
    for (headers, expected) in [
        ("Host: localhost\r\n", "200"),
        ("Host: 127.0.0.1:3001\r\n", "200"),
        ("Host: node-1.internal:3001\r\n", "200"),
        ("Host: evil.example\r\n", "403"),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", "403"),
        ("Host: localhost\r\nOrigin: http://localhost:5173\r\n", "200"),
    ] {
        assert_eq!(status(&server.health, headers), expected, "{headers}");
    }
    let metrics = get(&server.health, "/metrics");
    assert!(metrics.contains("switchboard_connections_refused_total{reason=\"host\"} 2\n"), "{metrics}");
    let together = Server::start(&["serve"]);
    assert_eq!(status(&together.address, "Host: chat.example\r\n"), "200");
}
