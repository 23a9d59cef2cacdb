//! A private Redis server on a free port that a test can kill, pause and restart.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::{Scratch, soon};

/// An empty `redis-server`, or the program in `REDIS_SERVER`, such as `valkey-server`. Dropping it ends the
/// process.
pub struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    password: Option<String>,
    process: Option<Child>,
    directory: Scratch,
}

impl RedisServer {
    /// Starts a server and waits until it replies.
    pub async fn start() -> Self {
        RedisServer::start_with(&[]).await
    }

    /// Starts a server with more options, such as `["--requirepass", "secret"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        let port = free_port();
        let arguments =
            ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let password = options.iter().position(|option| *option == "--requirepass").map(|at| options[at + 1]);
        RedisServer::launch(port, password, &[&arguments[..], options].concat()).await
    }

    /// Starts a sentinel with these settings and this password.
    pub(crate) async fn start_sentinel(scratch: &Scratch, password: &str, settings: &str) -> Self {
        let port = free_port();
        let file = scratch.file(&format!("sentinel-{port}.conf"));
        let settings = format!("port {port}\nbind 127.0.0.1\nrequirepass {password}\n{settings}");
        std::fs::write(&file, settings).expect("the directory is ours");
        RedisServer::launch(port, Some(password), &[&file, "--sentinel"]).await
    }

    async fn launch(port: u16, password: Option<&str>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let (password, directory) = (password.map(Into::into), Scratch::new());
        let mut server = RedisServer { port, arguments, password, process: None, directory };
        server.run_again().await;
        server
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Its URL without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The first line of the reply to a command: `:3`, `+OK`, `-ERR …`, or the length of a bulk reply.
    pub async fn ask(&self, command: &str) -> String {
        self.ask_all(command).await.0
    }

    /// The bulk reply to a command.
    pub async fn ask_text(&self, command: &str) -> String {
        let (head, mut rest) = self.ask_all(command).await;
        let bytes = head.strip_prefix('$').and_then(|length| length.parse().ok());
        let mut text = vec![0; bytes.unwrap_or_else(|| panic!("`{command}` answers {head}"))];
        rest.read_exact(&mut text).await.expect("all of the answer");
        String::from_utf8(text).expect("it is a text")
    }

    async fn ask_all(&self, command: &str) -> (String, BufReader<TcpStream>) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        let mut stream = BufReader::new(stream);
        let password = self.password.iter().map(|password| format!("AUTH {password}"));
        let mut line = String::new();
        for command in password.chain([command.into()]) {
            stream.write_all(format!("{command}\r\n").as_bytes()).await.expect("it reads");
            line.clear();
            soon("redis-server answers", stream.read_line(&mut line)).await.expect("it answers");
        }
        (line.trim_end().into(), stream)
    }

    /// Kills the process; data in memory is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // The process may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Restarts a killed process on the same port.
    pub async fn run_again(&mut self) {
        let program = std::env::var("REDIS_SERVER").unwrap_or("redis-server".into());
        let mut command = Command::new(program);
        // A replica saves its data to a file, which a process started in the same directory would load.
        command.args(&self.arguments).current_dir(self.directory.file(""));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(process.expect("`redis-server` is installed"));
        soon("redis-server answers", answers(self.port)).await;
    }

    /// Pauses the process: connections stay open and nothing replies.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes a paused process.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal, such as `-STOP`, to a process of the test.
pub fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.expect("`kill` is there").success(), "the process {pid} takes {signal}");
}

/// An unused port.
///
/// It is below the range of ephemeral ports: the system could assign one of those to another process before the
/// server listens, or while the server is down.
pub fn free_port() -> u16 {
    let random = || RandomState::new().build_hasher().finish();
    let mut ports = std::iter::repeat_with(|| 20_000 + (random() % 12_000) as u16);
    ports.find(|port| StdListener::bind(("127.0.0.1", *port)).is_ok()).expect("the ports have no end")
}

/// Waits until a server on the port replies in the Redis protocol, even with an error.
async fn answers(port: u16) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await
            && stream.write_all(b"PING\r\n").await.is_ok()
            && let Ok(b'+' | b'-') = stream.read_u8().await
        {
            return;
        }
        // Redis offers no other sign that it listens.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
