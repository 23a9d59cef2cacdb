//! Runs the shell blocks marked `sh run`, one session per document, against the debug binary and a Redis of the test's own.
//!
//! Addresses in the text are replaced by free ports. The session waits for a server that a block starts in the background
//! before it continues with the next block.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use switchboard_testkit::{RedisServer, Scratch};

/// Functions of a session. `switchboard serve &` is in the background of the script, so the trap ends it.
const PRELUDE: &str = r#"
set -euo pipefail
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT
curl() { command curl --fail-with-body --silent --show-error "$@"; }
until_ready() { for _ in $(seq 200); do command curl -so /dev/null "http://$1/readyz" && return; sleep 0.05; done; return 1; }
"#;

fn guide(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("guides").join(name);
    fs::read_to_string(file).expect("the guide exists")
}

/// The blocks marked `sh run`, in their order.
fn blocks(text: &str) -> Vec<String> {
    let fenced = text.split("```sh run\n").skip(1);
    fenced.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

/// The folder of the binary, which the workspace's tests build; here it is only built if it is missing.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let folder = test.ancestors().nth(2).expect("tests are in deps").to_owned();
    if !folder.join("switchboard").exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "switchboard-cli"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the binary does not build");
    }
    folder
}

/// The script of a document, with our addresses in place of those in the text.
fn script(text: &str, clients: &str, api: &str, redis: &str) -> String {
    let mut script = PRELUDE.to_owned();
    for block in blocks(text) {
        script += &block;
        if block.contains("switchboard serve") {
            script += &format!("\nuntil_ready {clients}\n");
        }
    }
    let redis = redis.trim_start_matches("redis://");
    [
        ("0.0.0.0:3000", clients),
        ("127.0.0.1:3000", clients),
        ("127.0.0.1:4001", api),
        ("10.0.0.5:6379", redis),
        ("localhost:6379", redis),
    ]
    .iter()
    .fold(script, |script, (from, to)| script.replace(from, to))
}

async fn run(name: &str) {
    let text = guide(name);
    assert!(!blocks(&text).is_empty(), "{name} has no block to run");
    let (scratch, redis, clients, api) =
        (Scratch::new(), RedisServer::start().await, free_address(), free_address());
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-c", &script(&text, &clients, &api, &redis.url())])
        .current_dir(scratch.file(""))
        .envs([("PATH", &path), ("SWITCHBOARD_LISTEN", &clients), ("SWITCHBOARD_API__LISTEN", &api)])
        .output()
        .expect("bash runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
}

#[tokio::test]
async fn the_commands_of_the_authentication_guide_work() {
    run("authentication.md").await;
}

#[tokio::test]
async fn the_commands_of_the_backends_guide_work() {
    run("backends.md").await;
}

#[tokio::test]
async fn the_commands_of_the_console_guide_work() {
    run("console.md").await;
}

#[tokio::test]
async fn the_commands_of_the_http_api_guide_work() {
    run("http-api.md").await;
}

#[tokio::test]
async fn the_commands_of_the_scaling_guide_work() {
    run("scaling.md").await;
}
