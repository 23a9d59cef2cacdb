//! Signals of a running server: SIGHUP reads the settings again, as does the HTTP API; SIGUSR1 and SIGUSR2 are ignored.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use switchboard_testkit::{Peer, Scratch};

use crate::backend::post;
use crate::clients::until;
use crate::support::{SWITCHBOARD, Server, get, run};

const OLD_SECRET: &str = "the old secret of this test, and long enough";
const NEW_SECRET: &str = "the new secret of this test, and long enough";
const OLD_KEY: &str = "the old key of a backend";
const NEW_KEY: &str = "the new key of a backend";

/// A server with a file of settings.
struct Reloading {
    server: Server,
    file: String,
    _scratch: Scratch,
}

impl Reloading {
    fn start(settings: &str) -> Self {
        let scratch = Scratch::new();
        let file = scratch.file("settings.toml");
        fs::write(&file, settings).expect("the folder is the test's own");
        let server = Server::start(&["serve", "--config", &file, "--set", "stop.window_ms=0"]);
        Reloading { server, file, _scratch: scratch }
    }

    /// Writes the file anew, and returns once the server has read it.
    async fn reload(&self, settings: &str, outcome: &str) {
        fs::write(&self.file, settings).expect("the folder is the test's own");
        let before = self.reloads(outcome);
        self.server.signal("-HUP");
        until("the settings are read again", async || self.reloads(outcome) > before).await;
    }

    fn reloads(&self, outcome: &str) -> usize {
        let name = format!("switchboard_settings_reloads_total{{outcome=\"{outcome}\"}} ");
        let metrics = get(&self.server.health, "/metrics");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    async fn connect_from(&self, origin: &str) -> Result<Peer, String> {
        Peer::try_connect(&self.server.url(), &[("origin", origin)]).await
    }

    fn api(&self) -> String {
        let after = self.server.banner.split("  api      http://").nth(1).expect("the banner names it");
        after.split('/').next().expect("an address").to_owned()
    }

    /// The status of a dispatch with a key.
    fn dispatch(&self, key: &str, body: &Value) -> u16 {
        let key = format!("Bearer {key}");
        let answer = post(&self.api(), "dispatch", &[("Authorization", &key)], &body.to_string());
        answer.expect("an answer").status
    }

    /// Stops the server and returns its log.
    fn log(self) -> String {
        self.server.signal("-TERM");
        let (status, log) = self.server.ended();
        assert_eq!(status, Some(0), "{log}");
        log
    }
}

/// Connects a Koji client and logs it in. The greeting is read.
async fn identified(server: &Server, secret: &str, user: &str) -> Peer {
    let mut peer = Peer::connect(&format!("{}/?projectId=default", server.url())).await;
    let token = switchboard_auth::sign(secret, user, None, Default::default()).expect("it signs");
    peer.send(&json!({ "eventName": "@@KOJI_DISPATCH/IDENTIFY", "payload": { "token": token } })).await;
    peer
}

/// Repeats a dispatch to a user until the client has received it.
async fn assert_receives(running: &Reloading, key: &str, peer: &mut Peer, user: &str) {
    let body = json!({ "type": "HI", "to": { "users": [user] } });
    until("the dispatch is received", async || {
        assert_eq!(running.dispatch(key, &body), 200);
        let received = async { while !peer.next().await.to_string().contains("HI") {} };
        tokio::time::timeout(std::time::Duration::from_millis(50), received).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_reload_over_the_api_answers_with_what_it_applied_and_what_needs_a_restart() {
    let settings = |key: &str, more: &str| {
        format!(
            "api = {{ listen = \"127.0.0.1:0\", keys = \"{key}\", hosts = [\"api.internal\"] }}\n{more}\n"
        )
    };
    let running = Reloading::start(&settings(OLD_KEY, ""));
    let reload = |key: &str| {
        let headers = [("Authorization", &*format!("Bearer {key}"))];
        let answer = post(&running.api(), "reload", &headers, "{}").expect("an answer");
        (answer.status, answer.body)
    };
    assert_eq!(reload(OLD_KEY), (200, json!({ "applied": [], "needs_restart": [] })));
    let more = "[limits]\nmessages_per_s = 7\n[stop]\ntimeout_ms = 7000\n[mesa]\nenabled = true\nlisten = \"127.0.0.1:0\"";
    fs::write(&running.file, settings(NEW_KEY, more)).expect("the folder is the test's own");
    let changed = json!({
        "applied": ["api.keys", "limits.messages_per_s"],
        "needs_restart": ["mesa.enabled", "mesa.listen", "stop.timeout_ms"],
    });
    assert_eq!(reload(OLD_KEY), (200, changed));
    assert_eq!(reload(OLD_KEY).0, 401, "the key was replaced");

    fs::write(&running.file, "[limits]\nmessages_per_s = \"fast\"").expect("the folder is the test's own");
    let (status, body) = reload(NEW_KEY);
    assert_eq!((status, &body["code"]), (400, &json!("invalid_settings")));
    assert!(body["detail"].as_str().is_some_and(|error| error.contains("limits.messages_per_s")), "{body}");
    assert_eq!((running.reloads("applied"), running.reloads("failed")), (2, 1));
}

#[tokio::test]
async fn a_reload_applies_the_host_names_of_the_api() {
    let settings = |host: &str| {
        format!("api = {{ listen = \"127.0.0.1:0\", keys = \"{OLD_KEY}\", hosts = [\"{host}\"] }}\n")
    };
    let running = Reloading::start(&settings("old.internal"));
    let allows = |host: &str| {
        let headers =
            [("Authorization", &*format!("Bearer {OLD_KEY}")), ("Origin", &*format!("http://{host}"))];
        post(&running.api(), "disconnect", &headers, "{}").expect("an answer").status != 403
    };
    assert!(allows("old.internal") && !allows("new.internal"));
    running.reload(&settings("new.internal"), "applied").await;
    assert!(!allows("old.internal") && allows("new.internal"));
}

#[tokio::test]
async fn a_reload_applies_origins_limits_secrets_keys_and_the_filter_of_the_log() {
    let settings = |origin: &str, secret: &str, key: &str, more: &str| {
        format!(
            "clients.allowed_origins = [\"{origin}\"]\nauth.jwt_secret = \"{secret}\"\n\
             api = {{ listen = \"127.0.0.1:0\", keys = \"{key}\" }}\n{more}\n"
        )
    };
    let running = Reloading::start(&settings("https://a.example", OLD_SECRET, OLD_KEY, ""));
    running.connect_from("https://a.example").await.expect("it is allowed").close().await;
    assert!(running.connect_from("https://b.example").await.err().expect("it is refused").contains("403"));
    let mut old = identified(&running.server, OLD_SECRET, "old").await;
    assert_receives(&running, OLD_KEY, &mut old, "old").await;
    let mut steady = running.server.peer().await;

    let more = "[limits]\nmessages_per_s = 1\nconnections_max = 3\n[log]\nfilter = \"debug\"";
    running.reload(&settings("https://B.example/", NEW_SECRET, NEW_KEY, more), "applied").await;

    assert!(running.connect_from("https://a.example").await.err().expect("it is refused").contains("403"));
    assert_eq!(running.dispatch(OLD_KEY, &json!({})), 401);
    assert_receives(&running, NEW_KEY, &mut old, "old").await;
    let mut new = identified(&running.server, NEW_SECRET, "new").await;
    assert_receives(&running, NEW_KEY, &mut new, "new").await;
    let refused = running.connect_from("https://b.example").await.err().expect("it is refused");
    assert!(refused.contains("503"), "three connections are open: {refused}");
    drop(new);
    // A burst is four messages; the connection is older than the limit.
    for _ in 0..20 {
        steady.emit("/ping", json!({})).await;
    }
    assert_eq!(steady.closed().await.0, 1008);
    let log = running.log();
    assert!(log.contains("settings reloaded") && log.contains("auth.jwt_secret"), "{log}");
    assert!(log.contains("not in clients.allowed_origins"), "{log}");
    assert!(log.contains(" DEBUG "), "the new filter is in effect: {log}");
    for secret in [OLD_SECRET, NEW_SECRET, OLD_KEY, NEW_KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn an_invalid_file_keeps_all_settings_and_is_counted() {
    let running = Reloading::start("clients.allowed_origins = [\"https://a.example\"]\n");
    for (bad, named) in [
        (
            "clients.allowed_origins = [\"https://b.example\"]\nlimits.messages_per_s = \"fast\"\n",
            "limits.messages_per_s is `fast`",
        ),
        ("clients.allowed_origins = [\"https://b.example\"]\n[nonsense]\n", "unknown setting"),
        ("clients.allowed_origins = [\"https://b.example\"\n", "settings.toml: line "),
    ] {
        running.reload(bad, "failed").await;
        assert!(running.connect_from("https://a.example").await.is_ok(), "{named}");
        assert!(running.connect_from("https://b.example").await.is_err(), "{named}");
    }
    running.reload("clients.allowed_origins = [\"https://b.example\"]\n", "applied").await;
    assert!(running.connect_from("https://b.example").await.is_ok());
    let log = running.log();
    for named in ["limits.messages_per_s is `fast`", "unknown setting", "line "] {
        let line = log.lines().find(|line| line.contains(named)).unwrap_or_else(|| panic!("{named}: {log}"));
        assert!(line.contains("the previous ones stay in effect"), "one line: {log}");
    }
}

#[tokio::test]
async fn changed_settings_that_need_a_start_are_named_in_one_line() {
    let running = Reloading::start("stop.timeout_ms = 1000\n");
    let changed = "redis = \"redis://:s3cret@127.0.0.1:1\"\nstop.timeout_ms = 2000\nlog.format = \"json\"\n\
                   mesa.enabled = true\nlimits.messages_per_s = 7\n";
    running.reload(changed, "applied").await;
    running.reload(changed, "applied").await;
    let log = running.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("take effect at the next start")).collect();
    assert_eq!(lines.len(), 2, "each reload names them: {log}");
    assert!(lines[0].contains("log.format, mesa.enabled, redis.url, stop.timeout_ms"), "{}", lines[0]);
    assert!(!log.contains("s3cret"), "{log}");
    let reloaded: Vec<&str> = log.lines().filter(|line| line.contains("settings reloaded")).collect();
    assert!(reloaded[0].contains("limits.messages_per_s") && !reloaded[1].contains("limits"), "{log}");
}

#[tokio::test]
async fn a_reload_without_its_file_is_reported_as_that() {
    let running = Reloading::start("");
    fs::remove_file(&running.file).expect("it exists");
    running.server.signal("-HUP");
    until("the settings are read again", async || running.reloads("failed") == 1).await;
    let file = running.file.clone();
    let log = running.log();
    assert!(log.contains(&format!("cannot read the configuration file {file}")), "{log}");
}

#[tokio::test]
async fn variables_and_flags_override_the_file_again_after_a_reload() {
    let scratch = Scratch::new();
    let file = scratch.file("settings.toml");
    fs::write(&file, "").expect("the folder is the test's own");
    let args = ["serve", "--config", &file, "--set", "clients.allowed_origins=https://flag.example"];
    let server = Server::start(&args);
    let running = Reloading { server, file, _scratch: scratch };
    running.reload("clients.allowed_origins = [\"https://file.example\"]\n", "applied").await;
    assert!(running.connect_from("https://flag.example").await.is_ok());
    assert!(running.connect_from("https://file.example").await.is_err());
}

#[tokio::test]
async fn settings_from_a_pipe_are_kept_because_a_pipe_cannot_be_read_again() {
    let (pipe, mut settings) = std::io::pipe().expect("the system has pipes");
    settings.write_all(b"clients.allowed_origins = [\"https://a.example\"]\n").expect("it is open");
    drop(settings);
    let server = Server::start_with(&["serve", "--config", "/dev/stdin"], |command| command.stdin(pipe));
    let running = Reloading { server, file: "/dev/null".into(), _scratch: Scratch::new() };
    running.reload("", "failed").await;
    assert!(running.connect_from("https://a.example").await.is_ok());
    assert!(running.connect_from("https://b.example").await.is_err());
    assert!(running.log().contains("a pipe, which can be read only once"));
}

#[tokio::test]
async fn sockets_survive_every_signal_that_does_not_stop_the_server() {
    let server = Server::start(&["serve", "--set", "log.filter=debug", "--set", "stop.window_ms=0"]);
    let mut peer = server.peer().await;
    for signal in ["-HUP", "-USR1", "-USR2", "-HUP"] {
        server.signal(signal);
        assert_eq!(peer.request("/ping", json!({})).await["pong"], true, "{signal}");
    }
    server.signal("-TERM");
    assert_eq!(peer.closed().await.0, 1012);
    let (status, log) = server.ended();
    assert_eq!(status, Some(0), "{log}");
}

#[tokio::test]
async fn closing_the_terminal_of_the_server_stops_it() {
    let scratch = Scratch::new();
    let typescript = scratch.file("typescript");
    let command = format!("{SWITCHBOARD} serve --listen 127.0.0.1:0 --set stop.window_ms=0");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &command, &typescript])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("script is part of Debian");
    until("the banner is printed", async || shown(&typescript).contains("/metrics")).await;
    let text = shown(&typescript);
    let address = text.split("ws://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let mut peer = Peer::connect(&format!("ws://{address}/")).await;
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    assert_eq!(peer.closed().await.0, 1012);
}

/// The output that a terminal has shown so far.
fn shown(typescript: &str) -> String {
    String::from_utf8_lossy(&fs::read(typescript).unwrap_or_default()).into_owned()
}

#[test]
fn check_and_a_reload_accept_the_same_settings() {
    let scratch = Scratch::new();
    let file = scratch.file("settings.toml");
    fs::write(&file, "clients.allowed_origins = [\"a.example\"]\n").expect("the folder is the test's own");
    let output = run(&["check", "--config", &file]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains(&format!("({file}:1)")) && error.contains("https://a.example"), "{error}");
}
