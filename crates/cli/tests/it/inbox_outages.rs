//! The inbox file on a disk without room: storing fails, and works again by itself once there is room.

use std::process::{Command, ExitStatus};

use serde_json::json;
use switchboard_testkit::{Peer, Scratch};

use crate::backend::{Answer, api, api_by, call};
use crate::clients::until;
use crate::support::{SWITCHBOARD, Server};

/// Large enough that the file has to grow soon.
const MESSAGE_BYTES: usize = 20_000;

/// A server with an inbox file, and a sender of messages for user 7.
struct Outage {
    server: Server,
    api: String,
    /// Number of the last message.
    last: usize,
    /// Numbers of the messages with confirmed storage.
    stored: Vec<usize>,
}

impl Outage {
    /// `command` runs the binary.
    fn start(command: &mut Command, inbox: &str) -> Self {
        let path = format!("inbox.path={inbox}");
        let sets = [&path, "inbox.enabled=true", "inbox.bytes_max=100000000"];
        let (server, api) = api_by(command, &sets);
        Outage { server, api, last: 0, stored: Vec::new() }
    }

    /// Stores the next message. Returns whether this was confirmed.
    fn store(&mut self, bytes: usize) -> bool {
        self.last += 1;
        let data = json!({ "n": self.last, "filler": "x".repeat(bytes) });
        let body = json!({ "type": "SAID", "data": data, "to": { "users": ["7"] }, "sync": true });
        let Answer { status, body, .. } = call(&self.api, "dispatch", &body);
        assert!(matches!(status, 200 | 503), "{status}: {body}");
        if status == 200 {
            self.stored.push(self.last);
        }
        status == 200
    }

    fn health(&self) -> String {
        self.server.get("/readyz").lines().last().unwrap_or_default().to_owned()
    }

    fn metric(&self, name: &str) -> u64 {
        let metrics = self.server.get("/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is in\n{metrics}")).parse().expect("a number")
    }

    /// Stores messages until that fails, checks the node during the outage, ends it with `make_room`, and checks the node
    /// again.
    async fn run(mut self, make_room: impl FnOnce(&Server)) {
        assert!(self.store(MESSAGE_BYTES));
        until("storing fails", async || !self.store(MESSAGE_BYTES)).await;
        for _ in 0..20 {
            self.store(MESSAGE_BYTES);
        }
        assert_eq!(self.health(), "degraded");
        assert_eq!(self.metric("switchboard_inbox_file_up"), 0);
        let failed = self.metric("switchboard_undelivered_total{reason=\"inbox_failed\"}");
        assert_eq!(failed as usize, self.last - self.stored.len());

        // Stored messages can be received, but their acknowledgements cannot be written.
        let received = self.stored.clone();
        let mut seven = log_in_and_receive(&self.server, &received).await;
        seven.silent().await.expect("no further message, and the last ping is answered");
        make_room(&self.server);
        until("the server is ready", async || self.health() == "ready").await;
        assert_eq!(self.metric("switchboard_inbox_file_up"), 1);
        until("the acknowledgements are written", async || self.metric("switchboard_inbox_messages") == 0)
            .await;
        drop(seven);
        assert!(self.store(MESSAGE_BYTES));
        assert!(self.store(10 * MESSAGE_BYTES), "there is room");
        let mut seven = log_in_and_receive(&self.server, &self.stored[received.len()..]).await;
        seven.silent().await.expect("no message arrives twice");
        drop(seven);
        self.server.signal("-TERM");
        let (status, log) = self.server.ended();
        assert_eq!(status, Some(0), "{log}");
        assert_eq!(log.matches("inbox file failed").count(), 1, "{log}");
        assert_eq!(log.matches("inbox file works again").count(), 1, "{log}");
        assert!(log.lines().count() < 10, "no line for each failed request:\n{log}");
    }
}

/// Connects a socket of user 7, and asserts that it receives these messages in order.
async fn log_in_and_receive(server: &Server, numbers: &[usize]) -> Peer {
    let mut seven = Peer::connect(&server.url()).await;
    seven.send(&json!({ "event": "/login", "data": { "userId": "7" }, "ackId": "login" })).await;
    let (mut is_logged_in, mut received) = (false, Vec::new());
    while !is_logged_in || received.len() < numbers.len() {
        let frame = seven.next().await;
        is_logged_in |= frame["type"] == "ack";
        if frame["event"] == "SAID" {
            received.push(frame["data"]["n"].as_u64().expect("its number") as usize);
        }
    }
    assert_eq!(received, numbers);
    seven
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).status();
    status.as_ref().is_ok_and(ExitStatus::success)
}

#[tokio::test]
async fn an_inbox_whose_file_may_not_grow_works_again_once_it_may() {
    let scratch = Scratch::new();
    let inbox = scratch.file("inbox.redb");
    let outage = Outage::start(&mut Command::new(SWITCHBOARD), &inbox);
    let limit = |server: &Server, bytes: &str| {
        let (pid, limit) = (server.pid().to_string(), format!("--fsize={bytes}:unlimited"));
        assert!(succeeds("prlimit", &["--pid", &pid, &limit]));
    };
    let bytes = std::fs::metadata(&inbox).expect("it exists").len();
    limit(&outage.server, &bytes.to_string());
    outage.run(|server| limit(server, "unlimited")).await;
}

#[tokio::test]
async fn an_inbox_on_a_full_file_system_works_again_once_it_has_room() {
    // A file system of its own, in a mount namespace that ends with the server.
    let namespace = ["--user", "--map-root-user", "--mount"];
    if !succeeds("unshare", &[&namespace[..], &["true"]].concat()) {
        return eprintln!("skipped: this user may not mount a file system");
    }
    let scratch = Scratch::new();
    let script = format!("mount -t tmpfs -o size=3m tmpfs {} && exec \"$0\" \"$@\"", scratch.file(""));
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", &script, SWITCHBOARD]);
    let outage = Outage::start(&mut command, &scratch.file("inbox.redb"));
    outage
        .run(|server| {
            let inside = ["--user", "--mount", "--preserve-credentials", "--target"];
            let (pid, directory) = (server.pid().to_string(), scratch.file(""));
            let enlarge = [&pid, "mount", "-o", "remount,size=40m", &directory];
            assert!(succeeds("nsenter", &[&inside[..], &enlarge[..]].concat()));
        })
        .await;
}

/// Starts a server, which must fail, and returns its error output.
fn start_error(inbox: &str) -> String {
    let path = format!("inbox.path={inbox}");
    let args = ["serve", "--listen", "127.0.0.1:0", "--set", &path, "--set", "inbox.enabled=true"];
    let output = crate::support::run(&args);
    let error = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(output.status.code(), Some(1), "{error}");
    error
}

#[tokio::test]
async fn a_damaged_inbox_file_prevents_the_start_with_advice_and_an_empty_one_is_reported() {
    let scratch = Scratch::new();
    let inbox = scratch.file("inbox.redb");
    std::fs::write(&inbox, "no inbox").expect("the directory is ours");
    let error = start_error(&inbox);
    assert!(error.contains(&format!("inbox file {inbox} is damaged, or is not an inbox")), "{error}");
    assert!(error.contains(&format!("move it aside, for example to {inbox}.damaged")), "{error}");
    assert_eq!(std::fs::read(&inbox).expect("it exists"), b"no inbox", "it is not changed");

    std::fs::write(&inbox, "").expect("the directory is ours");
    let (server, _) = api(&[&format!("inbox.path={inbox}"), "inbox.enabled=true"]);
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("inbox file was empty"), "{log}");
}
