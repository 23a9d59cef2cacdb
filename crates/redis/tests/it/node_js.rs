//! Node.js scripts that run legacy software and execute calls of a test, one per line.

use std::process::Stdio;

use serde_json::{Value, json};
use switchboard_testkit::{RedisServer, soon};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running script. Dropping it stops the process.
pub(crate) struct NodeScript {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl NodeScript {
    /// Starts `drive.mjs` of a directory beside this one with the port of a Redis server.
    pub(crate) fn start(directory: &str, server: &RedisServer) -> Self {
        let mut process = Command::new("node")
            .arg(format!("{}/tests/{directory}/drive.mjs", env!("CARGO_MANIFEST_DIR")))
            .arg(server.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("`node` is installed");
        let input = process.stdin.take().expect("the stream is piped");
        let output = BufReader::new(process.stdout.take().expect("the stream is piped")).lines();
        NodeScript { _process: process, input, output, calls: 0 }
    }

    /// Calls a function with a list of arguments and returns its result.
    pub(crate) async fn call(&mut self, function: &str, args: Value) -> Value {
        self.calls += 1;
        let mut call = vec![json!(self.calls), json!(function)];
        call.extend(args.as_array().expect("arguments are a list").iter().cloned());
        let line = format!("{}\n", Value::from(call));
        self.input.write_all(line.as_bytes()).await.expect("the script runs");
        let reply = soon("the script replies", self.output.next_line()).await.expect("the script runs");
        let reply = reply.expect("the script has ended; are its npm packages installed?");
        let reply: Value = serde_json::from_str(&reply).expect("the reply is JSON");
        assert_eq!(reply[0], self.calls);
        reply[1].clone()
    }
}
