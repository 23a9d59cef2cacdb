//! Runs the receivers of the guide for webhooks, and sends them calls of the real binary.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use switchboard_testkit::Scratch;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The binary, which the workspace's tests build; here it is only built if it is missing.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let binary = test.ancestors().nth(2).expect("tests are in deps").join("switchboard");
    if !binary.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "switchboard-cli"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the binary does not build");
    }
    binary
}

/// The first block of a language in the guide.
fn block(language: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("guides/webhooks.md");
    let guide = std::fs::read_to_string(guide).expect("the guide exists");
    let rest = guide.split(&format!("```{language}\n")).nth(1).expect("the block exists");
    rest.split("```").next().expect("it has an end").to_owned()
}

/// A running receiver. Dropping it ends its process.
struct Receiver {
    process: Child,
    port: u16,
    _folder: Scratch,
}

impl Receiver {
    /// `None` if the interpreter is not installed.
    fn start(interpreter: &str, file: &str, language: &str) -> Option<Self> {
        let folder = Scratch::new();
        let path = folder.file(file);
        std::fs::write(&path, block(language)).expect("the folder is the test's own");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a port is free").port();
        let mut command = Command::new(interpreter);
        let command = command.arg(path).env("PORT", port.to_string()).env("WEBHOOK_SECRET", SECRET);
        let process = command.stdout(Stdio::piped()).spawn().ok()?;
        let mut receiver = Receiver { process, port, _folder: folder };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = receiver.process.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{interpreter} ended: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Some(receiver)
    }

    /// Sends a test report that is signed with some secrets.
    fn test_call(&self, secrets: &str) -> Output {
        let port = self.port;
        let endpoint = format!(
            r#"hooks.endpoints.guide={{url="http://127.0.0.1:{port}/", allow_private=true, events=["connected"], secrets={secrets}}}"#
        );
        let output = Command::new(binary()).args(["hooks", "test", "guide", "--set", &endpoint]).output();
        output.expect("the binary runs")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn accepts_its_own_calls_only(mut receiver: Receiver) {
    for secrets in [format!("\"{SECRET}\""), format!("[\"{OTHER}\", \"{SECRET}\"]")] {
        let output = receiver.test_call(&secrets);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for secrets in [format!("\"{OTHER}\""), "[]".into()] {
        let output = receiver.test_call(&secrets);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("answered 401"), "{error}");
    }
    let mut printed = BufReader::new(receiver.process.stdout.take().expect("it is piped")).lines();
    let line = printed.next().expect("the report is printed").expect("it is text");
    assert!(line.starts_with("test "), "{line}");
}

#[test]
fn the_receiver_in_python_accepts_signed_calls_only() {
    let receiver = Receiver::start("python3", "receiver.py", "python").expect("python3 is installed");
    accepts_its_own_calls_only(receiver);
}

#[test]
fn the_receiver_in_node_accepts_signed_calls_only() {
    match Receiver::start("node", "receiver.mjs", "js") {
        Some(receiver) => accepts_its_own_calls_only(receiver),
        None => eprintln!("node is not installed"),
    }
}
