//! The settings of a server process: their sources, their errors, and the warnings about them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{SWITCHBOARD, Server, run};

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
