//! A script in Node.js that does what a test tells it, a line at a time.

use std::process::Stdio;

use serde_json::{Value, json};
use switchboard_testkit::{RedisServer, soon};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// It ends with the test.
pub(crate) struct Driven {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl Driven {
    /// Starts `drive.mjs` of a directory beside this one, on a Redis.
    pub(crate) fn start(directory: &str, server: &RedisServer) -> Self {
        let mut process = Command::new("node")
            .arg(format!("{}/tests/{directory}/drive.mjs", env!("CARGO_MANIFEST_DIR")))
            .arg(server.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("`node` is installed");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Driven { _process: process, input, output, calls: 0 }
    }

    /// Has it do something, with the arguments in a list.
    pub(crate) async fn call(&mut self, what: &str, args: Value) -> Value {
        self.calls += 1;
        let mut call = vec![json!(self.calls), json!(what)];
        call.extend(args.as_array().expect("arguments are a list").iter().cloned());
        let line = format!("{}\n", Value::from(call));
        self.input.write_all(line.as_bytes()).await.expect("it runs");
        let answer = soon("it answers", self.output.next_line()).await.expect("it runs");
        let answer = answer.expect("it runs; are its packages installed?");
        let answer: Value = serde_json::from_str(&answer).expect("it answers in JSON");
        assert_eq!(answer[0], self.calls);
        answer[1].clone()
    }
}
