//! Commands whose output has no reader, as in `switchboard tail … | head -1`.

use std::io::pipe;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use switchboard_testkit::{Scratch, redis::free_port};

use crate::backend::{self, KEY};
use crate::support::{SWITCHBOARD, Server, get, run};

/// The status that a shell gives to a process that SIGPIPE ended.
const READER_GONE: Option<i32> = Some(141);

/// A pipe without a reader.
fn closed_pipe() -> Stdio {
    pipe().expect("a pipe").1.into()
}

fn run_without_reader(args: &[&str]) -> Output {
    Command::new(SWITCHBOARD).args(args).stdout(closed_pipe()).output().expect("the binary runs")
}

#[test]
fn a_command_without_a_reader_of_its_output_ends_quietly() {
    let server = Server::start(&["serve"]);
    let secret = ["--set", "auth.jwt_secret=a secret of this test, and long enough"];
    let made = run(&[&["token", "make", "7"][..], &secret].concat());
    let token = String::from_utf8(made.stdout).expect("a token is text");
    let scratch = Scratch::new();
    let inbox = format!("inbox.path={}", scratch.file("inbox"));
    let (_node, api) = backend::api(&["inbox.enabled=true", &inbox]);
    let api = format!("http://{api}");
    let stored = ["dispatch", "NEWS", "--url", &api, "--key", KEY, "--to-user", "7", "--sync"];
    for args in [
        &["check", "--settings-only"][..],
        &[&["token", "make", "7"][..], &secret].concat(),
        &[&["token", "check", token.trim()][..], &secret].concat(),
        &["emit", &server.url(), "/ping", "--request"],
        &stored,
    ] {
        let ended = run_without_reader(args);
        assert_eq!(ended.status.code(), READER_GONE, "{args:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
    }
    for args in [&["--help"][..], &["tail", "--help"], &["--version"]] {
        let ended = run_without_reader(args);
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
    }
}

#[test]
fn tail_ends_at_the_first_event_that_nobody_reads() {
    let server = Server::start(&["serve"]);
    let mut tail = Command::new(SWITCHBOARD)
        .args(["tail", &server.url(), "--room", "lobby"])
        .stdout(closed_pipe())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tail runs");
    // Events before tail has joined the room are not delivered.
    while tail.try_wait().expect("a status").is_none() {
        run(&["emit", &server.url(), "/message", "{\"room\":\"lobby\"}"]);
    }
    let ended = tail.wait_with_output().expect("it has ended");
    assert_eq!(ended.status.code(), READER_GONE);
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn an_error_that_nobody_reads_keeps_its_status() {
    let ended = Command::new(SWITCHBOARD)
        .args(["check", "--set", "nonsense"])
        .stderr(closed_pipe())
        .status()
        .expect("the binary runs");
    assert_eq!(ended.code(), Some(2));
}

#[test]
fn a_full_disk_under_the_output_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let ended = Command::new(SWITCHBOARD)
        .args(["check", "--settings-only"])
        .stdout(full)
        .output()
        .expect("the binary runs");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).starts_with("error: cannot print\n  because: "));
}

#[test]
fn a_server_goes_on_without_a_reader_of_its_banner_and_its_log() {
    // Nothing prints the address of this server.
    let address = format!("127.0.0.1:{}", free_port());
    let mut server = Command::new(SWITCHBOARD)
        .args(["serve", "--listen", &address, "--set", "log.filter=trace"])
        .stdout(closed_pipe())
        .stderr(closed_pipe())
        .spawn()
        .expect("the binary runs");
    while TcpStream::connect(&address).is_err() {
        assert!(server.try_wait().expect("a status").is_none(), "it ended");
        std::thread::yield_now();
    }
    for _ in 0..3 {
        assert!(get(&address, "/livez").ends_with("ok\n"));
    }
    let emitted = run(&["emit", &format!("ws://{address}"), "/ping", "--request"]);
    assert!(emitted.status.success(), "{emitted:?}");
    assert!(server.try_wait().expect("a status").is_none(), "it still runs");
    server.kill().expect("it runs");
    server.wait().expect("it ends");
}
