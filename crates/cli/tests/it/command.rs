//! The command line, with one server process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use switchboard_testkit::raw::frame;

use crate::support::{JsonServer, SWITCHBOARD, Server, get, read_to, run, upgraded};

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
        assert!(!server.get("/").contains("/canvas/"), "pages that need Koji are not offered");
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

#[test]
fn a_request_that_has_no_handler_fails_and_the_error_names_the_event() {
    let server = Server::start(&["demo"]);
    let mistyped = run(&["emit", &server.url(), "/joined", "{}", "--request"]);
    let error = String::from_utf8(mistyped.stderr).unwrap();
    assert_eq!((mistyped.status.code(), &*mistyped.stdout), (Some(1), &b""[..]), "{error}");
    assert!(error.contains("No handler for: /joined"), "{error}");
    let sent = run(&["emit", &server.url(), "/joined", "{}"]);
    assert_eq!(sent.status.code(), Some(0), "an event without a request has no reply that could report it");
    let counted = server.get("/metrics");
    assert!(counted.contains("switchboard_unhandled_events_total{protocol=\"emit\"} 2"), "{counted}");
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
    for (variable, hint) in [
        ("SWITCHBOARD_LIMITS__NONSENSE", "the settings here are"),
        ("SWITCHBOARD_LIMITS__MESSAGE_PER_S", "did you mean `SWITCHBOARD_LIMITS__MESSAGES_PER_S`?"),
        ("SWITCHBOARD_LISTENS", "did you mean `SWITCHBOARD_LISTEN`?"),
        ("SWITCHBOARD_REDIS__URLL", "did you mean `SWITCHBOARD_REDIS__URL`?"),
        ("SWITCHBOARD_REDIS_URL", "did you mean `SWITCHBOARD_REDIS__URL`?"),
        ("SWITCHBOARD_AUTH_JWT_SECRET", "did you mean `SWITCHBOARD_AUTH__JWT_SECRET`?"),
        ("SWITCHBOARD_PORT", "`listen`"),
    ] {
        let env = Command::new(SWITCHBOARD).arg("check").env(variable, "1").output().expect("it runs");
        let error = String::from_utf8_lossy(&env.stderr).into_owned();
        assert_eq!(env.status.code(), Some(2), "{variable}: {error}");
        assert!(error.contains(&format!("({variable}): unknown setting")) && error.contains(hint), "{error}");
    }
}

#[test]
fn variables_of_an_orchestrator_are_ignored_and_logged_at_debug() {
    let foreign = [
        ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
        ("SWITCHBOARD_SERVICE_PORT", "3000"),
        ("SWITCHBOARD_PORT", "tcp://10.0.0.1:3000"),
        ("SWITCHBOARD_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("SWITCHBOARD_REDIS_PORT", "tcp://10.0.0.2:6379"),
        ("SWITCHBOARD_REDIS_SERVICE_PORT_HTTP", "80"),
    ];
    let check =
        Command::new(SWITCHBOARD).args(["check", "--settings-only"]).envs(foreign).output().expect("it runs");
    assert_eq!(check.stdout, run(&["check", "--settings-only"]).stdout, "they change no setting");
    let server = Server::start_with(&["serve", "--set", "log.filter=debug"], |command| command.envs(foreign));
    server.signal("-TERM");
    let (status, log) = server.ended();
    assert_eq!(status, Some(0), "{log}");
    for (name, _) in foreign {
        assert!(log.contains(name), "{name}: {log}");
    }
}

#[test]
fn a_secret_is_the_same_from_a_file_a_variable_and_a_flag() {
    let scratch = switchboard_testkit::Scratch::new();
    for secret in [
        "00123456789012345678901234567890",
        "+1234567890123456789012345678901",
        " blanks at both ends are kept so ",
        "[abc,def] is no list, is it? No!",
        "{a = 1} is no table, is it? No, no",
        "\"quotes belong to it, both of them\"",
        "# no comment = in 'this' at all ##",
    ] {
        let token = switchboard_auth::sign(secret, "7", None, Default::default()).expect("it signs");
        let file = scratch.file("settings.toml");
        // A JSON string is a basic string in TOML.
        let text = format!("[auth]\njwt_secret = {}\n", serde_json::json!(secret));
        std::fs::write(&file, text).expect("the folder is the test's own");
        let checked = |command: &mut Command| {
            let output = command.output().expect("it runs");
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                String::from_utf8_lossy(&output.stdout).contains("\"user\":\"7\""),
                "`{secret}`: {error}"
            );
        };
        let check = ["token", "check", &token];
        checked(Command::new(SWITCHBOARD).args(check).args(["--config", &file]));
        checked(Command::new(SWITCHBOARD).args(check).args(["--set", &format!("auth.jwt_secret={secret}")]));
        checked(Command::new(SWITCHBOARD).args(check).env("SWITCHBOARD_AUTH__JWT_SECRET", secret));
    }
}

#[test]
fn check_refuses_what_serve_refuses_before_it_opens_anything() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = format!("listen={}", taken.local_addr().expect("an address"));
    for (sets, named) in [
        (&["log.filter=[["][..], "log.filter is `[[` (--set log.filter)"),
        (&["log.filter=inof"], "`inof` is neither a level nor a module with its level"),
        (&[&free, &format!("internal.{free}")], "internal.listen is `"),
        (&["redis=redis://h/?db=1"], "redis.url is `redis://h/?***` (--set redis)"),
        (
            &["inbox.enabled=true", "inbox.path=/no/such/folder/inbox.redb"],
            "there is no folder /no/such/folder",
        ),
        (&["inbox.enabled=true", "inbox.path=/"], "inbox.path is `/` (--set inbox.path)"),
        (&["limits.messages_per_s=0"], "limits.messages_per_s is `0` (--set limits.messages_per_s)"),
        (&["clients.allowed_origins=a.example"], "https://a.example"),
        (&["auth.jwt_secret=a"], "auth.jwt_secret is `***` (--set auth.jwt_secret)"),
    ] {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        let [check, serve] = ["check", "serve"].map(|command| run(&[&[command], &sets[..]].concat()));
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(error.contains(named), "{error}");
        assert_eq!((check.status.code(), serve.status.code()), (Some(2), Some(2)), "{error}");
        assert_eq!(error, String::from_utf8_lossy(&serve.stderr));
    }
    drop(taken);
}

#[test]
fn check_warns_of_settings_without_effect_and_serve_logs_them() {
    let warning =
        "mesa.listen is `127.0.0.1:1` (--set mesa.listen); it has no effect, because mesa.enabled is `false`";
    let output = run(&["check", "--settings-only", "--set", "mesa.listen=127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("warning: {warning}\n"));
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("warning"),
        "the settings can be used as a file"
    );
    let server = Server::start(&["serve", "--set", "mesa.listen=127.0.0.1:1"]);
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains(" WARN ") && log.contains(warning), "{log}");
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
fn settings_are_read_from_a_pipe() {
    for path in ["/dev/stdin", "/dev/fd/0"] {
        let mut check = Command::new(SWITCHBOARD)
            .args(["check", "--settings-only", "--config", path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut pipe = check.stdin.take().expect("it is piped");
        pipe.write_all(b"listen = \"127.0.0.1:3334\"\n").expect("it reads");
        drop(pipe);
        let output = check.wait_with_output().expect("it ends");
        assert!(String::from_utf8_lossy(&output.stdout).contains("listen = \"127.0.0.1:3334\""), "{path}");
    }
    let mut bad = Command::new(SWITCHBOARD)
        .args(["check", "--config", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut pipe = bad.stdin.take().expect("it is piped");
    pipe.write_all(b"[limits]\nmessages_per_s = \"fast\"\n").expect("it reads");
    drop(pipe);
    let output = bad.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&output.stderr).contains("(/dev/stdin:2)"), "the line is known");
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
        .args(["check", "--settings-only", "--set", "limits.enabled=false"])
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
