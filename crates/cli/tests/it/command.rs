//! The command line, with one server process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use switchboard_testkit::raw::frame;

use crate::support::{SWITCHBOARD, Server, get, read_to, run, upgraded};

/// The first frame from the server after an emit request on the path of a Koji client.
fn first_reply(server: &Server) -> serde_json::Value {
    first_reply_at(server, "/?projectId=p")
}

fn first_reply_at(server: &Server, path: &str) -> serde_json::Value {
    let mut stream = upgraded(&server.address, path);
    let join = br#"{"event":"/join","data":{"room":"r"},"ackId":1}"#;
    // One text frame; a mask of zeros leaves the payload unchanged.
    let frame = [&[0x81, 0x80 | join.len() as u8, 0, 0, 0, 0], &join[..]].concat();
    stream.write_all(&frame).expect("a frame");
    next_frame(&mut stream)
}

/// The next text frame, as JSON.
fn next_frame(stream: &mut TcpStream) -> serde_json::Value {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut length = u16::from(head[1]);
    if length == 126 {
        stream.read_exact(&mut head).expect("a longer length");
        length = u16::from_be_bytes(head);
    }
    let mut text = vec![0; length.into()];
    stream.read_exact(&mut text).expect("all of the frame");
    serde_json::from_slice(&text).expect("it is JSON")
}

#[test]
fn without_a_command_the_demo_runs_and_prints_its_addresses() {
    let server = Server::start(&[]);
    assert!(server.banner.contains("page     http://127.0.0.1:"), "{}", server.banner);
    assert!(server.banner.contains("open to everyone"), "{}", server.banner);
    assert!(server.get("/").contains("<title>"));
    assert!(server.get("/livez").ends_with("ok\n"));
    assert!(server.get("/readyz").ends_with("ready\n"));
    assert!(server.get("/no-such-file").starts_with("HTTP/1.1 404"));
}

#[test]
fn koji_is_on_by_default_and_can_be_switched_off() {
    for mode in ["demo", "serve"] {
        let server = Server::start(&[mode]);
        let first = first_reply(&server);
        assert_eq!(first["eventName"], "@@KOJI_DISPATCH/CONNECTED", "{mode}: {first}");
        assert_eq!(first["payload"]["shardName"], "shard-1");
        assert!(server.get("/info/p").starts_with("HTTP/1.1 200"));
        assert!(server.banner.contains("koji     ws://"), "{}", server.banner);

        let server = Server::start(&[mode, "--set", "koji.enabled=false"]);
        let first = first_reply(&server);
        assert_eq!(first["data"]["joined"], "r", "{mode}, without Koji: {first}");
        assert!(server.get("/info/p").starts_with("HTTP/1.1 404"));
        assert!(!server.banner.contains("koji"), "{}", server.banner);
    }
}

#[test]
fn mesa_is_off_by_default_and_has_an_address_of_its_own() {
    let server = Server::start(&["serve"]);
    assert!(!server.banner.contains("mesa"), "{}", server.banner);

    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.reconnect.enabled=true"];
    let server = Server::start(&[&["serve"][..], &sets.map(|set| ["--set", set]).concat()].concat());
    let (_, own) = server.banner.split_once("/mesa, ws://").expect("the banner has both addresses");
    let own = own.split('/').next().expect("an address");
    for (address, path) in [(own, "/"), (own, "/any"), (&*server.address, "/mesa")] {
        let hello = next_frame(&mut upgraded(address, path));
        assert_eq!(hello["op"], 10, "{address}{path}: {hello}");
        assert_eq!(hello["d"]["c_reconnect_interval"], 5000);
    }
}

#[test]
fn mesa_clients_connect_at_the_configured_path() {
    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.path=/gateway"];
    let server = Server::start(&[&["serve"][..], &sets.map(|set| ["--set", set]).concat()].concat());
    assert!(server.banner.contains(&format!("ws://{}/gateway, ws://", server.address)), "{}", server.banner);
    assert_eq!(next_frame(&mut upgraded(&server.address, "/gateway"))["op"], 10);
    assert_eq!(
        first_reply(&server)["eventName"],
        "@@KOJI_DISPATCH/CONNECTED",
        "the path of Koji is unchanged"
    );
    assert_eq!(first_reply_at(&server, "/mesa")["data"]["joined"], "r", "all other paths belong to emit");
}

#[test]
fn the_demo_serves_the_canvas_page() {
    let server = Server::start(&["demo"]);
    assert!(server.banner.contains("/canvas/"), "{}", server.banner);
    assert!(server.get("/canvas/").contains("<title>Canvas"));
    let answer = server.get("/canvas");
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains("location: /canvas/"), "{answer}");
}

#[test]
fn the_demo_serves_the_example_pages_or_explains_why_they_are_missing() {
    let server = Server::start(&["demo"]);
    let page = server.get("/examples/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    match server.banner.split_once("examples not in this build: ") {
        Some((_, reason)) => assert!(page.contains(reason.lines().next().expect("a reason")), "{page}"),
        None => {
            assert!(server.banner.contains("/examples/"), "{}", server.banner);
            assert!(page.contains("href=\"chat/\""), "{page}");
            assert!(server.get("/examples/chat/main.js").contains("text/javascript"));
        }
    }
}

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
    for name in ["switchboard_messages_in_total", "switchboard_deliveries_total"] {
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
    for (reason, count) in [
        ("not_an_object", 2),
        ("missing_field", 2),
        ("wrong_field", 2),
        ("too_deep", 1),
        ("too_long", 1),
        ("reserved", 3),
        ("unknown_reply", 1),
    ] {
        let line = format!("switchboard_ignored_frames_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is in\n{metrics}");
    }
    assert!(metrics.contains("switchboard_unknown_events_total 1\n"), "{metrics}");
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
fn invalid_settings_end_the_process_with_status_2_and_name_their_source() {
    for (args, expected) in [
        (&["serve", "--set", "limits.nonsense=1"][..], "nonsense"),
        (&["demo", "--listen", "nowhere"], "listen"),
        (&["check", "--config", "/no/such/file"], "cannot read the configuration file /no/such/file"),
        (&["check", "--set", "nonsense"], "--set nonsense is not of the form"),
        (&["serve", "--set", "log.filter=[["], "log.filter"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let output = run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let env = Command::new(SWITCHBOARD)
        .arg("check")
        .env("SWITCHBOARD_LIMITS__NONSENSE", "1")
        .output()
        .expect("it runs");
    assert_eq!(env.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&env.stderr).contains("SWITCHBOARD_LIMITS__NONSENSE"));
}

#[test]
fn an_address_of_the_api_that_is_more_than_a_path_is_refused() {
    for address in
        ["http://host/?key=k", "http://host/#x", "http://user@host/", "ftp://host/", "host:4001", "http://"]
    {
        let output = run(&["dispatch", "NEWS", "--url", address, "--key", "k", "--everyone"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{address}: {error}");
        assert!(error.contains(&format!("--url is `{address}`; expected an address such as")), "{error}");
    }
}

#[test]
fn check_prints_the_settings_of_environment_and_flags() {
    let output = Command::new(SWITCHBOARD)
        .args(["check", "--set", "limits.enabled=false"])
        .env("SWITCHBOARD_LIMITS__MESSAGES_PER_S", "9")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("enabled = false") && text.contains("messages_per_s = 9"), "{text}");
}

#[test]
fn an_occupied_port_and_an_unreachable_server_are_reported_with_their_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["serve", "--listen", &address]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("cannot listen on {address}")) && error.contains("because:"), "{error}");
    drop(taken);
    let output = run(&["emit", &format!("ws://{address}"), "/x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot reach"));
}

#[test]
fn tokens_are_made_and_verified_with_the_keys_in_the_settings() {
    let secret = ["--set", "auth.jwt_secret=[\"new\", \"old\"]"];
    let made =
        run(&[&["token", "make", "7", "--expires-in", "1h", "--claim", "role=admin"][..], &secret].concat());
    let token = String::from_utf8(made.stdout).expect("a token is text");
    let checked = run(&[&["token", "check", token.trim()][..], &secret].concat());
    let printed: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("one JSON object");
    assert_eq!(printed["user"], "7");
    assert!(printed["expires"].as_u64().is_some_and(|end| end > 1_700_000_000));
    let refused = run(&["token", "check", token.trim(), "--set", "auth.jwt_secret=other"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("signature does not match any known key"));
    for wrong in [
        &["token", "make", "7"][..],
        &["token", "make", "7", "--expires-in", "soon"],
        &["token", "make", "7", "--claim", "x", "--set", "auth.jwt_secret=s"],
        &["token", "check", token.trim()],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("auth.jwt_secret=s"));
    }
}
