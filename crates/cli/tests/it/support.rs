//! The binary as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use switchboard_testkit::Peer;
use switchboard_testkit::redis::signal_process;

pub(crate) const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(SWITCHBOARD).args(args).output().expect("the binary runs")
}

/// A server process on a free port. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    /// Such as `127.0.0.1:4711`.
    pub(crate) address: String,
    /// Address of `/readyz` and `/metrics`: that of `internal.listen`, otherwise the same.
    pub(crate) health: String,
    pub(crate) banner: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        Server::spawn(Command::new(SWITCHBOARD).args(args))
    }

    /// Starts a process after `change`, for example of its environment.
    pub(crate) fn start_with(args: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        Server::spawn(change(Command::new(SWITCHBOARD).args(args)))
    }

    /// Starts a command that runs the binary.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut banner = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        while !banner.contains("health") {
            assert!(lines.read_line(&mut banner).expect("a banner") > 0, "it ended: {banner}");
        }
        let after = |mark: &str| {
            let start = banner.find(mark).expect("an address") + mark.len();
            banner[start..].split('/').next().expect("an address").to_owned()
        };
        let address = after(if banner.contains("emit     wss://") { "emit     wss://" } else { "ws://" });
        let health = after(if banner.contains("health   https://") {
            "health   https://"
        } else {
            "health   http://"
        });
        Server { child, address, health, banner }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.address, path)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects a client of the emit protocol.
    pub(crate) async fn peer(&self) -> Peer {
        Peer::connect(&self.url()).await
    }

    /// The memory of the process that is in use, on Linux.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        1024 * kib.and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        let mut log = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut log).expect("a log is text");
        (status.code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server process with a JSON log, which prints no banner. Dropping it kills it.
pub(crate) struct JsonServer {
    child: Child,
    pub(crate) address: String,
    /// The address of the HTTP API, if it listens.
    pub(crate) api: Option<String>,
    log: JoinHandle<String>,
}

impl JsonServer {
    pub(crate) fn start(args: &[&str]) -> Self {
        JsonServer::start_with(args, |command| command)
    }

    pub(crate) fn start_with(args: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(SWITCHBOARD);
        command.args(args).args(["--listen", "127.0.0.1:0", "--set", "log.format=json"]);
        let command = change(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut log = String::new();
        let started = loop {
            let begin = log.len();
            assert!(lines.read_line(&mut log).expect("a line") > 0, "it ended: {log}");
            let line: Value = serde_json::from_str(&log[begin..]).expect("each line is JSON");
            if line["fields"]["message"] == "server started" {
                break line;
            }
        };
        let address = started["fields"]["listen"].as_str().expect("an address").to_owned();
        let api = started["fields"]["api_listen"].as_str().map(str::to_owned);
        let log = std::thread::spawn(move || {
            lines.read_to_string(&mut log).expect("a log is text");
            log
        });
        JsonServer { child, address, api, log }
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }

    /// Waits for the end. Returns the exit status, the standard output and the log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait().expect("it ends");
        let mut output = String::new();
        self.child.stdout.take().expect("it is piped").read_to_string(&mut output).expect("it is text");
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        (status.code(), output, log.join().expect("the log was read"))
    }
}

impl Drop for JsonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    stream
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Opens a WebSocket and returns the stream after the handshake.
pub(crate) fn upgraded(address: &str, path: &str) -> TcpStream {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("a handshake");
    read_to(&mut stream, b"\r\n\r\n");
    stream
}

/// Reads until the bytes `end` have been received.
pub(crate) fn read_to(stream: &mut TcpStream, end: &[u8]) {
    let (mut received, mut byte) = (Vec::new(), [0]);
    while !received.ends_with(end) {
        stream.read_exact(&mut byte).expect("there is more");
        received.push(byte[0]);
    }
}
