//! The commands of the command line, against one server process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use switchboard_testkit::raw::frame;

use crate::clients::until;
use crate::support::{JsonServer, SWITCHBOARD, Server, get, read_to, run, upgraded};

#[test]
fn an_event_of_the_emit_command_is_printed_by_the_tail_command() {
    let server = Server::start(&["serve"]);
    let mut tail = Command::new(SWITCHBOARD)
        .args(["tail", &server.url(), "--room", "lobby"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("it is piped")).lines();
    let emit =
        |event: &str, data: &str, more: &[&str]| run(&[&["emit", &server.url(), event, data], more].concat());
    assert!(
        emit("/join", "{\"room\":\"other\"}", &["--request"]).stdout.starts_with(b"{\"joined\":\"other\"}")
    );
    // Events before tail has joined the room are not delivered.
    let receiving = std::thread::spawn(move || lines.next().expect("a line").expect("text"));
    while !receiving.is_finished() {
        assert!(emit("/message", "{\"room\":\"lobby\",\"text\":\"hi\"}", &[]).status.success());
    }
    let line = receiving.join().expect("it was received");
    assert_eq!(line, r##"{"event":"message","data":{"room":"lobby","text":"hi"}}"##);
    tail.kill().expect("tail runs");
    tail.wait().expect("tail ends");
    let metrics = server.get("/metrics");
    for name in ["switchboard_messages_received_total", "switchboard_deliveries_total"] {
        assert!(metrics.contains(name), "{name} is in\n{metrics}");
    }
}

#[test]
fn the_emit_command_sends_data_as_it_was_written() {
    let server = Server::start(&["demo"]);
    let echo = |data: &str| run(&["emit", &server.url(), "/echo", data, "--request"]);
    for data in ["[1,1e400]", "12345678901234567890123", "1.50", r#""\ud800""#] {
        assert_eq!(String::from_utf8(echo(data).stdout).unwrap(), format!("{{\"data\":{data}}}\n"));
    }
    assert_eq!(echo("a text").stdout, b"{\"data\":\"a text\"}\n");
    let refused = echo(&("[".repeat(64) + &"]".repeat(64)));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("data nests deeper than 63 levels"), "{error}");
}

#[tokio::test]
async fn an_event_that_has_no_handler_fails_with_and_without_a_request_and_the_error_names_it() {
    let server = Server::start(&["demo"]);
    for more in [&["--request"][..], &[]] {
        let mistyped = run(&[&["emit", &server.url(), "/joined", "{}"], more].concat());
        let error = String::from_utf8(mistyped.stderr).unwrap();
        assert_eq!((mistyped.status.code(), &*mistyped.stdout), (Some(1), &b""[..]), "{error}");
        assert!(error.contains("No handler for: /joined"), "{error}");
        assert!(error.contains("hint: did you mean `/join`?"), "{error}");
    }
    assert_eq!(run(&["emit", &server.url(), "/join", "{}"]).status.code(), Some(0));
    let counted = server.get("/metrics");
    assert!(counted.contains("switchboard_unhandled_events_total{protocol=\"emit\"} 2"), "{counted}");
    let is_clean =
        |line: &str| line.contains("closed_total{") && line.contains("\"1000\"") && line.ends_with(" 3");
    until("all connections are closed with 1000", async || server.get("/metrics").lines().any(is_clean))
        .await;
}

#[test]
fn ignored_frames_are_counted_by_reason() {
    let server = Server::start(&["demo", "--set", "mesa.enabled=true"]);
    let deep = format!(r#"{{"event":"/echo","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let long = format!(r#"{{"eventName":"a","payload":"{}"}}"#, "x".repeat(128_000));
    for (path, frames) in [
        ("/", &["no JSON", "[]", r#"{"data":1}"#, &deep, r#"{"type":"ack","ackId":"x"}"#][..]),
        ("/koji", &["{}", r#"{"eventName":5}"#, r#"{"eventName":"@@KOJI_DISPATCH/CONNECTED"}"#, &long]),
        ("/mesa", &[r#"{"op":"0"}"#, r#"{"op":5}"#, r#"{"op":22}"#, r#"{"op":0,"t":"UNKNOWN"}"#]),
    ] {
        let mut stream = upgraded(&server.address, path);
        for text in frames {
            stream.write_all(&frame(0x81, text.as_bytes())).expect("the connection is open");
        }
        stream.write_all(&frame(0x89, b"all are read")).expect("the connection is open");
        read_to(&mut stream, b"all are read");
    }
    let metrics = server.get("/metrics");
    for (protocol, reason, count) in [
        ("emit", "not_an_object", 2),
        ("emit", "missing_field", 1),
        ("emit", "too_deep", 1),
        ("emit", "unknown_reply", 1),
        ("koji", "missing_field", 1),
        ("koji", "wrong_field", 1),
        ("koji", "reserved", 1),
        ("koji", "too_long", 1),
        ("mesa", "wrong_field", 1),
        ("mesa", "reserved", 2),
    ] {
        let labels = format!("protocol=\"{protocol}\",reason=\"{reason}\"");
        let line = format!("switchboard_ignored_frames_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line} is in\n{metrics}");
    }
    assert!(metrics.contains("switchboard_unhandled_events_total{protocol=\"mesa\"} 1\n"), "{metrics}");
}

#[test]
fn a_wss_address_is_reached_over_tls() {
    let server = Server::start(&["serve"]);
    let url = format!("wss://{}", server.address);
    for args in [&["emit", &url, "/message"][..], &["tail", &url]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        // The server does not use TLS, so the client reports a broken record.
        let error = String::from_utf8(output.stderr).expect("an error is text");
        assert!(error.contains("corrupt message"), "{error}");
    }
}

#[test]
fn a_signal_stops_the_server_with_status_0_after_readyz_returns_503() {
    let server =
        Server::start(&["demo", "--set", "internal.listen=127.0.0.1:0", "--set", "stop.window_ms=0"]);
    assert!(server.get("/readyz").starts_with("HTTP/1.1 404"), "health is on its own listener");
    let internal = server.health.clone();
    assert!(get(&internal, "/readyz").starts_with("HTTP/1.1 200"));
    // A peer that does not answer the close frame delays the end of the process.
    let mut silent = upgraded(&server.address, "/");
    server.signal("-TERM");
    // The close frame was received, so the server is stopping.
    read_to(&mut silent, b"the server restarts");
    assert!(get(&internal, "/readyz").starts_with("HTTP/1.1 503"));
    assert!(get(&internal, "/livez").starts_with("HTTP/1.1 200"));
    drop(silent);
    let (status, log) = server.ended();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let server = Server::start(&[
        "demo",
        "--set",
        "stop.timeout_ms=600000",
        "--set",
        "limits.close_timeout_ms=600000",
    ]);
    let mut silent = upgraded(&server.address, "/");
    server.signal("-INT");
    read_to(&mut silent, b"the server restarts");
    server.signal("-INT");
    assert_eq!(server.ended().0, Some(1));
}

#[test]
fn colours_are_only_for_terminals() {
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let server = Server::start_with(args, |command| {
            for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
                command.env_remove(name);
            }
            command.envs(variables.iter().copied())
        });
        assert!(!server.banner.contains('\u{1b}'), "{}", server.banner);
        server.signal("-TERM");
        let (_, log) = server.ended();
        assert!(log.contains("signal received"), "{log}");
        log.contains('\u{1b}')
    };
    for command in ["serve", "demo"] {
        assert!(!coloured(&[command], &[]), "{command} into a pipe");
        assert!(coloured(&[command], &[("CLICOLOR_FORCE", "1")]), "{command}, forced");
        assert!(!coloured(&[command], &[("NO_COLOR", "1")]), "{command}");
    }
    let json = JsonServer::start_with(&["serve"], |command| command.env("CLICOLOR_FORCE", "1"));
    json.signal("-TERM");
    assert!(!json.ended().2.contains('\u{1b}'));
    for args in [
        &["check", "--settings-only"][..],
        &["check", "--set", "nonsense=1"],
        &["--help"],
        &["serve", "--nonsense"],
        &["token", "make", "7"],
        &["emit", "ws://127.0.0.1:1", "/x"],
        &["tail", "ws://127.0.0.1:1"],
        &["dispatch", "X", "--url", "http://127.0.0.1:1", "--key", "k", "--everyone"],
    ] {
        let output = run(args);
        let text = [output.stdout, output.stderr].concat();
        assert!(!text.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_refused_origin_is_logged_with_the_setting_and_bounded() {
    let args = ["serve", "--set", "clients.allowed_origins=https://a.example", "--set", "stop.window_ms=0"];
    let server = Server::start(&args);
    let handshake = |origin: &str| {
        let mut stream = TcpStream::connect(&server.address).expect("the server listens");
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: {origin}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("a handshake");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("a status");
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    assert_eq!(handshake("https://a.example"), "101");
    for number in 0..100 {
        assert_eq!(handshake(&format!("https://evil-{number}.example")), "403");
    }
    server.signal("-TERM");
    let (_, log) = server.ended();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("clients.allowed_origins")).collect();
    assert!(lines[0].contains(" INFO ") && lines[0].contains("https://evil-0.example"), "{log}");
    assert!(lines.len() < 20, "{} lines", lines.len());
}

#[test]
fn a_token_has_the_audience_and_issuer_of_the_settings_and_one_that_they_refuse_is_warned_of() {
    let settings = ["--set", "auth.jwt_secret=a secret of this test, and long enough"];
    let required = ["--set", "auth.audience=shop", "--set", "auth.issuer=us"];
    let make = |more: &[&str]| run(&[&["token", "make", "7"][..], &settings, &required, more].concat());
    let made = make(&[]);
    assert_eq!(String::from_utf8_lossy(&made.stderr), "");
    let token = String::from_utf8(made.stdout).expect("a token is text");
    let checked = run(&[&["token", "check", token.trim()][..], &settings, &required].concat());
    assert!(checked.status.success(), "{checked:?}");
    for claim in ["aud=other", "can={\"lobby\":\"j\"}", "can=foo", "exp=1"] {
        let made = make(&["--claim", claim]);
        assert!(made.status.success() && !made.stdout.is_empty(), "{claim}");
        let warning = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(
            warning.starts_with("warning: a server with these settings refuses this token: "),
            "{warning}"
        );
    }
}

#[test]
fn tokens_are_made_and_verified_with_the_keys_in_the_settings() {
    const NEW: &str = "the new secret of this test, and long enough";
    const OLD: &str = "the old secret of this test, and long enough";
    let secret = ["--set", &*format!("auth.jwt_secret=[\"{NEW}\", \"{OLD}\"]")];
    let made =
        run(&[&["token", "make", "7", "--expires-in", "1h", "--claim", "role=admin"][..], &secret].concat());
    let token = String::from_utf8(made.stdout).expect("a token is text");
    let checked = run(&[&["token", "check", token.trim()][..], &secret].concat());
    let printed: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("one JSON object");
    assert_eq!(printed["user"], "7");
    assert!(printed["expires"].as_u64().is_some_and(|end| end > 1_700_000_000));
    let refused = run(&[
        "token",
        "check",
        token.trim(),
        "--set",
        "auth.jwt_secret=another secret of this test, and long enough",
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("signature does not match any known key"));
    for wrong in [
        &["token", "make", "7"][..],
        &["token", "make", "7", "--expires-in", "soon"],
        &["token", "make", "7", "--claim", "x", secret[0], secret[1]],
        &["token", "make", "7", "--set", "auth.jwt_secret=too short"],
        &["token", "check", token.trim()],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!error.contains("too short") && !error.contains(NEW), "{error}");
    }
}
