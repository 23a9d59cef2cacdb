//! The log of `serve`: text for people, and JSON in which every line is JSON.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, RedisServer};

use crate::backend::post;
use crate::clients::until;
use crate::support::{JsonServer, SWITCHBOARD, Server, get, read_to, run, upgraded};

/// The lines of a JSON log. Fails if one of them is anything else.
fn lines(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{log}"));
    log.lines().map(parse).collect()
}

/// The fields of the lines with a message.
fn fields<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let all = lines.iter().map(|line| &line["fields"]);
    all.filter(|fields| fields["message"].as_str().is_some_and(|text| text.contains(message))).collect()
}

/// Sends a handshake with a header, and returns the status of the answer.
fn handshake(address: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{header}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("a handshake");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("a status");
    String::from_utf8_lossy(&head[9..]).into_owned()
}

fn refuse_token(address: &str, token: &str) {
    let mut client = upgraded(address, "/?projectId=p&identify=answered");
    let identify =
        json!({ "eventName": "@@KOJI_DISPATCH/IDENTIFY", "payload": { "token": token } }).to_string();
    client.write_all(&frame(0x81, identify.as_bytes())).expect("the connection is open");
    client.write_all(&frame(0x89, b"after the token")).expect("the connection is open");
    read_to(&mut client, b"after the token");
}

async fn until_redis_is(server: &JsonServer, state: &str) {
    let line = format!("switchboard_redis_up{{connection=\"store\"}} {state}\n");
    until("Redis is up or down", async || get(&server.address, "/metrics").contains(&line)).await;
}

#[tokio::test]
async fn every_line_of_a_json_log_is_json_in_a_noisy_life() {
    let mut redis = RedisServer::start().await;
    let redis_setting = format!("redis={}", redis.url());
    let server = JsonServer::start(&[
        "serve",
        "--set",
        &redis_setting,
        "--set",
        "clients.allowed_origins=https://a.example",
        "--set",
        "auth.jwt_secret=a secret of this test, and long enough",
        "--set",
        "stop.window_ms=0",
    ]);
    for number in 0..30 {
        assert_eq!(handshake(&server.address, &format!("Origin: https://evil-{number}.example")), "403");
        refuse_token(&server.address, "no token");
    }
    // A frame that is masked, but of a reserved kind.
    let mut violating = upgraded(&server.address, "/");
    violating.write_all(&frame(0x83, b"")).expect("the connection is open");
    violating.read_to_end(&mut Vec::new()).expect("the server closes it");

    until_redis_is(&server, "1").await;
    redis.kill();
    until_redis_is(&server, "0").await;
    redis.run_again().await;
    until_redis_is(&server, "1").await;

    let peer = Peer::connect(&format!("ws://{}/", server.address)).await;
    server.signal("-TERM");
    let (status, output, log) = server.ended();
    drop(peer);
    assert_eq!((status, &*output), (Some(0), ""), "nothing but the log is printed: {log}");
    let lines = lines(&log);

    let started = fields(&lines, "server started")[0];
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&started["settings_variables"], &started["mode"]), (&json!(0), &json!("serve")));
    assert_eq!(started["protocols"], "emit, koji");
    assert!(started["listen"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{started}");
    let refused = fields(&lines, "origin is not in clients.allowed_origins");
    assert!((10..30).contains(&refused.len()), "{log}");
    let tokens = fields(&lines, "token refused");
    assert!((10..30).contains(&tokens.len()), "{log}");
    assert_eq!((&tokens[0]["protocol"], &tokens[0]["project"]), (&json!("koji"), &json!("p")));
    assert!(tokens[0]["reason"].is_string() && tokens[0]["error"].is_string(), "{}", tokens[0]);
    assert_eq!((&tokens[0]["client"], tokens[0].get("user")), (&json!("127.0.0.1"), None));
    let violation = fields(&lines, "violated the WebSocket protocol")[0];
    assert_eq!(
        (&violation["code"], &violation["client"]),
        (&json!(1002), &json!("127.0.0.1")),
        "{violation}"
    );
    let lost = fields(&lines, "Redis").into_iter().filter(|fields| fields["error"].is_string()).count();
    assert!(lost > 0, "{log}");
    for back in fields(&lines, "connected to Redis again") {
        assert!(back["down_ms"].is_u64() && back["connection"].is_string(), "{back}");
    }
    assert!(!fields(&lines, "connected to Redis again").is_empty(), "{log}");
    let stopped = *fields(&lines, "server stopped").last().expect("it is the end");
    assert_eq!(stopped["signal"], "SIGTERM");
    assert!(stopped["connections_closed"].as_u64().is_some_and(|closed| closed > 0), "{stopped}");
    assert!(stopped["stop_ms"].is_u64() && stopped["uptime_s"].is_u64() && stopped["commit"].is_string());
}

#[tokio::test]
async fn refusals_name_the_client_and_its_user_and_changes_through_the_api_name_the_key() {
    const KEY: &str = "a key of the API, of this test";
    let server = JsonServer::start(&[
        "demo",
        "--set",
        "log.filter=debug",
        "--set",
        "stop.window_ms=0",
        "--set",
        "api.listen=127.0.0.1:0",
        "--set",
        &format!("api.named_keys.ops={{ keys = \"{KEY}\", scopes = [\"manage\", \"send\", \"read\"] }}"),
        "--set",
        r##"projects.every.can={ "#open" = "js" }"##,
        "--set",
        r#"limits.rules=[{ events = ["/ping"], per = "user", rate = "1/d", then = "close" }]"#,
    ]);
    let mut peer = Peer::connect(&format!("ws://{}/", server.address)).await;
    assert_eq!(peer.request("/login", json!({ "userId": "seven\n" })).await["error"], Value::Null);
    assert_eq!(peer.request("/join", json!({ "room": "staff" })).await["code"], "forbidden");
    let key = format!("Bearer {KEY}");
    let api = server.api.clone().expect("the log has it");
    for (endpoint, body) in [
        ("send", json!({ "event": "e", "to": { "users": ["7"] } })),
        ("join", json!({ "room": "open", "to": { "users": ["7\n"] } })),
        (
            "batch",
            json!({ "calls": [{ "call": "leave", "body": { "room": "", "to": { "users": ["7"] } } }] }),
        ),
    ] {
        let answer = post(&api, endpoint, &[("Authorization", &key)], &body.to_string());
        assert_eq!(answer.expect("an answer").status, 200, "{endpoint}");
    }
    for _ in 0..2 {
        peer.emit("/ping", json!({})).await;
    }
    assert_eq!(peer.closed().await.0, 1008);
    server.signal("-TERM");
    let (_, _, log) = server.ended();
    let lines = lines(&log);
    let about = |message: &str| {
        fields(&lines, message).first().copied().unwrap_or_else(|| panic!("{message}: {log}")).clone()
    };
    for message in ["operation refused", "rate rule exceeded", "connection ended"] {
        let line = about(message);
        assert_eq!(
            (&line["client"], &line["user"]),
            (&json!("127.0.0.1"), &json!("seven<U+000A>")),
            "{line}"
        );
    }
    assert_eq!(about("rate rule exceeded")["then"], "close");
    let calls = fields(&lines, "API call");
    let shown: Vec<_> = calls.iter().map(|call| (&call["key"], &call["call"], &call["status"])).collect();
    let ops = json!("ops");
    assert_eq!(shown, [(&ops, &json!("join"), &json!(200)), (&ops, &json!("leave"), &json!(400))], "{log}");
    assert!(
        calls[0]["input"].as_str().is_some_and(|input| input.contains("\"open\"") && !input.contains('\n'))
    );
}

#[test]
fn an_error_that_ends_a_server_with_a_json_log_is_a_line_with_its_causes() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("listen={}", taken.local_addr().expect("an address"));
    let scratch = switchboard_testkit::Scratch::new();
    let file = scratch.file("switchboard.toml");
    std::fs::write(&file, "limits.nonsense = 1\nlog.format = \"json\"\n")
        .expect("the folder is the test's own");
    for (args, status, error, has_causes) in [
        (&["--set", "log.format=json", "--set", &listen][..], 1, "cannot listen on", true),
        (&["--set", "log.format=json", "--set", "limits.nonsense=1"], 2, "limits.nonsense", false),
        (&["--set", "log.format=json", "--set", "redis=redis://127.0.0.1:1"], 1, "cannot reach Redis", true),
        (&["--config", &file], 2, "(", false),
        (
            &["--set", "log.format=json", "--config", "/no/such/file"],
            2,
            "cannot read the configuration file",
            true,
        ),
    ] {
        let output = run(&[&["serve"][..], args].concat());
        let log = String::from_utf8(output.stderr).expect("a log is text");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{log}");
        let lines = lines(&log);
        let failed = fields(&lines, "switchboard failed")[0];
        assert!(failed["error"].as_str().is_some_and(|text| text.contains(error)), "{log}");
        assert_eq!(failed["exit_status"], status, "{log}");
        assert_eq!(failed["causes"].is_array(), has_causes, "{log}");
    }
    drop(taken);
}

#[test]
fn a_json_log_of_a_start_in_an_environment_has_its_sources() {
    let scratch = switchboard_testkit::Scratch::new();
    let file = scratch.file("switchboard.toml");
    std::fs::write(&file, "mesa = { enabled = true, listen = \"127.0.0.1:0\" }\n")
        .expect("the folder is the test's own");
    let server = JsonServer::start_with(&["serve", "--config", &file], |command| {
        command.env("SWITCHBOARD_STOP__WINDOW_MS", "0")
    });
    server.signal("-INT");
    let (_, _, log) = server.ended();
    let lines = lines(&log);
    let started = fields(&lines, "server started")[0];
    assert_eq!((&started["settings_file"], &started["settings_variables"]), (&json!(file), &json!(1)));
    assert_eq!(started["protocols"], "emit, koji, mesa");
    assert!(started["mesa_listen"].is_string() && started["open_files_max"].is_u64(), "{started}");
    assert_eq!(fields(&lines, "server stopped")[0]["signal"], "SIGINT");
}

#[test]
fn the_first_line_of_a_text_log_is_the_start_and_follows_the_banner() {
    let server = Server::start(&["serve", "--set", "stop.window_ms=0"]);
    let open = [upgraded(&server.address, "/"), upgraded(&server.address, "/")];
    server.signal("-TERM");
    // They do not answer the close frame.
    open.into_iter().for_each(|mut socket| read_to(&mut socket, b"the server restarts"));
    let (_, log) = server.ended();
    let first = log.lines().next().expect("a line");
    assert!(first.contains(" INFO ") && first.contains("server started version=\""), "{log}");
    let last = log.lines().last().expect("a line");
    assert!(
        last.contains("server stopped signal=\"SIGTERM\"") && last.contains("connections_closed=2"),
        "{log}"
    );
}

#[test]
fn a_client_that_reads_too_slowly_is_logged_with_its_close_code() {
    let server =
        Server::start(&["serve", "--set", "limits.outbox_bytes_max=65536", "--set", "stop.window_ms=0"]);
    let join = json!({ "event": "/join", "data": { "room": "r" } }).to_string();
    let mut silent = upgraded(&server.address, "/");
    silent.write_all(&frame(0x81, join.as_bytes())).expect("the connection is open");
    silent.write_all(&frame(0x89, b"joined")).expect("the connection is open");
    read_to(&mut silent, b"joined");
    let text = "x".repeat(60_000);
    let message = json!({ "event": "/message", "data": { "room": "r", "text": text } }).to_string();
    let mut sender = upgraded(&server.address, "/");
    sender.write_all(&frame(0x81, join.as_bytes())).expect("the connection is open");
    let closed = "switchboard_connections_closed_total{protocol=\"emit\",code=\"1013\"} 1\n";
    while !server.get("/metrics").contains(closed) {
        sender.write_all(&frame(0x81, message.as_bytes())).expect("the connection is open");
        sender.write_all(&frame(0x89, b"sent")).expect("the connection is open");
        read_to(&mut sender, b"sent");
    }
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("outbox is full; connection closed") && log.contains("code=1013"), "{log}");
}

#[test]
fn the_limit_of_open_files_is_raised_to_the_hard_limit_and_logged() {
    let script = "ulimit -Sn 100 && ulimit -Hn 4000 && exec \"$0\" serve --set stop.window_ms=0 \"$@\"";
    let server = Server::spawn(Command::new("sh").args(["-c", script, SWITCHBOARD]).stdin(Stdio::null()));
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("open_files_max=4000"), "{log}");
}
