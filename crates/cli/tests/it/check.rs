//! `switchboard check`: it refuses what `serve` refuses, with the same words, and changes nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use switchboard_testkit::{RedisServer, Scratch};

use crate::support::{SWITCHBOARD, Server, run};

/// The error output. The suggested free port differs from call to call.
fn error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split(", such as --").next().unwrap_or_default().to_owned()
}

/// Asserts that both commands refuse the settings with the same status and words, and returns the words.
fn refused_by_both(sets: &[&str]) -> (Option<i32>, String) {
    let listens = sets.iter().any(|set| set.starts_with("listen="));
    let listen = if listens { &[][..] } else { &["listen=127.0.0.1:0"] };
    let flags: Vec<&str> = listen.iter().chain(sets).flat_map(|set| ["--set", *set]).collect();
    let [check, serve] = ["check", "serve"].map(|command| run(&[&[command], &flags[..]].concat()));
    let words = error(&check);
    assert_eq!((check.status.code(), &words), (serve.status.code(), &error(&serve)), "{sets:?}");
    assert_eq!(check.stdout.len(), 0, "{words}");
    (check.status.code(), words)
}

#[tokio::test]
async fn check_refuses_what_serve_refuses_with_the_same_words() {
    let (taken, scratch) = (TcpListener::bind("127.0.0.1:0").expect("a free port"), Scratch::new());
    let address = taken.local_addr().expect("an address");
    let redis = RedisServer::start_with(&["--requirepass", "s3cret"]).await;
    let without_password = format!("redis={}", redis.url());
    let at = |key: &str| format!("{key}={address}");
    let path = |name: &str, contents: &[u8]| {
        let path = scratch.file(name);
        fs::write(&path, contents).expect("the folder is the test's own");
        format!("inbox.path={path}")
    };
    let (damaged, folder) = (path("damaged", &[1; 5000]), format!("inbox.path={}", scratch.file("")));
    let (key, on, mesa) =
        ("api.keys=a key of this test, long enough", "inbox.enabled=true", "mesa.enabled=true");
    for (sets, status, words) in [
        (&[&*at("listen")][..], 1, format!("cannot listen on {address}, the address of listen\n  because: ")),
        (
            &[&at("internal.listen")],
            1,
            format!("cannot listen on {address}, the address of internal.listen\n"),
        ),
        (&[mesa, &at("mesa.listen")], 1, format!("cannot listen on {address}, the address of mesa.listen\n")),
        (&[key, &at("api.listen")], 1, format!("cannot listen on {address}, the address of api.listen\n")),
        (&["listen=192.0.2.1:3000", "access=open"], 1, "hint: this machine has no such address".into()),
        (&["redis=redis://127.0.0.1:1"], 1, "cannot reach Redis at 127.0.0.1:1\n  because: ".into()),
        (&[&without_password], 1, "cannot reach Redis at 127.0.0.1:".into()),
        (
            &["redis=redis://127.0.0.1:1", "redis.ca_file=/no/such/file"],
            2,
            "redis.ca_file is `/no/such/file`".into(),
        ),
        (
            &["auth.jwks_url=https://x.example/", "auth.jwks_ca_file=/no/such/file"],
            2,
            "auth.jwks_ca_file is".into(),
        ),
        (
            &[on, &damaged],
            1,
            "is damaged, or is not an inbox; to start with an empty inbox move it aside".into(),
        ),
        (&[on, &folder], 2, "expected a file, found a folder".into()),
        (&[on, "inbox.path=/no/such/folder/inbox"], 2, "there is no folder /no/such/folder".into()),
        (
            &[mesa, "mesa.listen=127.0.0.1:3000", "listen=127.0.0.1:3000"],
            2,
            "each listener needs a port".into(),
        ),
        (&["limits.messages_per_s=fast"], 2, "limits.messages_per_s is `fast`".into()),
    ] {
        let (found, text) = refused_by_both(sets);
        assert_eq!(found, Some(status), "{text}");
        assert!(text.contains(&words), "{sets:?}: {text}");
    }
    drop(taken);
}

/// Root may read and write everything, so the commands run as another user.
#[test]
fn files_without_permission_are_refused_by_both_commands() {
    let scratch = Scratch::new();
    let (settings, inbox) = (scratch.file("settings.toml"), scratch.file("inbox.redb"));
    fs::write(&settings, "").expect("the folder is the test's own");
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).expect("it is the test's own");
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", SWITCHBOARD]).args(args);
        command.args(["--listen", "127.0.0.1:0"]).output().expect("setpriv is part of Debian")
    };
    if !as_nobody(&["check", "--settings-only"]).status.success() {
        // The test does not run as root, or the binary is in a folder of root's own.
        return;
    }
    let inbox_setting = format!("inbox.path={inbox}");
    for (args, status, words) in [
        (&["--config", &settings][..], 2, "cannot read the configuration file"),
        (&["--set", "inbox.enabled=true", "--set", &inbox_setting], 1, "cannot be opened\n  because: "),
    ] {
        let [check, serve] = ["check", "serve"].map(|command| as_nobody(&[&[command], args].concat()));
        assert_eq!((check.status.code(), error(&check)), (serve.status.code(), error(&serve)));
        assert_eq!(check.status.code(), Some(status));
        assert!(
            error(&check).contains(words) && error(&check).contains("Permission denied"),
            "{}",
            error(&check)
        );
    }
}

#[test]
fn an_occupied_port_is_reported_with_its_process_and_a_free_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    for (flag, set) in [("--listen ", "listen"), ("--set internal.listen=", "internal.listen")] {
        let listen = format!("{set}={address}");
        let output = run(&["serve", "--set", "listen=127.0.0.1:0", "--set", &listen]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let holder = format!("\nhint: process {} (", std::process::id());
        assert!(error.contains(&holder) && error.contains(") listens there; stop it, or choose"), "{error}");
        let (_, free) = error.split_once(&format!("such as {flag}127.0.0.1:")).expect("a port is suggested");
        assert!(free.trim_end().parse::<u16>().is_ok_and(|port| port > address.port()), "{error}");
    }
    drop(taken);
}

#[test]
fn a_server_that_runs_with_the_settings_is_a_warning() {
    let scratch = Scratch::new();
    let inbox = format!("inbox.path={}", scratch.file("inbox.redb"));
    let inbox = ["--set", "inbox.enabled=true", "--set", &inbox];
    let server = Server::start(&[&["serve"][..], &inbox].concat());
    let listen = ["check", "--listen", &server.address];
    let output = run(&[&listen[..], &inbox].concat());
    let warning = format!("warning: listen is {}, where another switchboard listens; ", server.address);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(&warning), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    let elsewhere = run(&[&["check", "--listen", "127.0.0.1:0"][..], &inbox].concat());
    let error = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert_eq!(elsewhere.status.code(), Some(1), "{error}");
    assert!(error.contains("is in use by another process"), "{error}");
}

#[test]
fn check_changes_nothing_and_warns_of_a_redis_that_is_not_required() {
    let scratch = Scratch::new();
    let file = scratch.file("inbox.redb");
    let inbox = format!("inbox.path={file}");
    let output = run(&["check", "--listen", "127.0.0.1:0", "--set", "inbox.enabled=true", "--set", &inbox]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    assert!(!Path::new(&file).exists());
    let sets = ["--set", "redis=redis://127.0.0.1:1", "--set", "redis.required=false"];
    let output = run(&[&["check", "--listen", "127.0.0.1:0"][..], &sets].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("warning: cannot reach Redis at 127.0.0.1:1: "), "{error}");
    assert!(error.contains("a server would start alone, because redis.required is `false`"), "{error}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_settings_alone_are_checked_on_request() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let sets = ["--set", "redis=redis://127.0.0.1:1"];
    let output = run(&[&["check", "--settings-only", "--listen", &address][..], &sets].concat());
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    let invalid = run(&["check", "--settings-only", "--set", "limits.messages_per_s=0"]);
    assert_eq!(invalid.status.code(), Some(2));
    drop(taken);
}

#[test]
fn unknown_names_suggest_the_nearest() {
    for (args, expected) in [
        (&["dispach"][..], "a similar subcommand exists: 'dispatch'"),
        (&["serve", "--confi", "x"], "a similar argument exists: '--config'"),
        (&["token", "makes"], "a similar subcommand exists: 'make'"),
        (&["check", "--set", "limits.mesages_per_s=7"], "did you mean `messages_per_s`?"),
        (&["check", "--set", "messages_per_s=7"], "did you mean `limits.messages_per_s`?"),
        (&["check", "--set", "clients.message_per_s=7"], "did you mean `limits.messages_per_s`?"),
        (&["check", "--set", "jwt_secret=7"], "did you mean `auth.jwt_secret`?"),
        (&["check", "--set", "mesa.sync.enabld=true"], "did you mean `enabled`?"),
        (&["check", "--set", "xyzzy=7"], "the settings here are `listen`"),
    ] {
        let output = run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let server = Server::start(&["serve"]);
    for (event, hint) in [("/joinn", "did you mean `/join`?"), ("message", "did you mean `/message`?")] {
        let output = run(&["emit", &server.url(), event, "--request"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(hint), "{error}");
    }
    let far = run(&["emit", &server.url(), "/orders", "--request"]);
    let error = String::from_utf8_lossy(&far.stderr).into_owned();
    assert!(error.contains("No handler for: /orders") && !error.contains("hint"), "{error}");
}
