//! Runs the receivers of the guide for webhooks, and sends them calls of the real binary.

#[path = "support/programs.rs"]
mod programs;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output};

use programs::{Program, binary};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn start(interpreter: &str, file: &str, language: &str) -> Option<Program> {
    Program::start("webhooks.md", interpreter, file, language, &[("WEBHOOK_SECRET", SECRET)])
}

/// Sends a test report that is signed with some secrets.
fn test_call(receiver: &Program, secrets: &str) -> Output {
    let port = receiver.port;
    let endpoint = format!(
        r#"hooks.endpoints.guide={{url="http://127.0.0.1:{port}/", allow_private=true, events=["connected"], secrets={secrets}}}"#
    );
    let output = Command::new(binary()).args(["hooks", "test", "guide", "--set", &endpoint]).output();
    output.expect("the binary runs")
}

fn accepts_its_own_calls_only(mut receiver: Program) {
    for secrets in [format!("\"{SECRET}\""), format!("[\"{OTHER}\", \"{SECRET}\"]")] {
        let output = test_call(&receiver, &secrets);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for secrets in [format!("\"{OTHER}\""), "[]".into()] {
        let output = test_call(&receiver, &secrets);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("answered 401"), "{error}");
    }
    let mut printed = BufReader::new(receiver.process.stdout.take().expect("it is piped")).lines();
    let line = printed.next().expect("the report is printed").expect("it is text");
    assert!(line.starts_with("test "), "{line}");
}

#[test]
fn the_receiver_in_python_accepts_signed_calls_only() {
    accepts_its_own_calls_only(start("python3", "receiver.py", "python").expect("python3 is installed"));
}

#[test]
fn the_receiver_in_node_accepts_signed_calls_only() {
    match start("node", "receiver.mjs", "js") {
        Some(receiver) => accepts_its_own_calls_only(receiver),
        None => eprintln!("node is not installed"),
    }
}
