//! A Redis server of the test's own, on a free port, that can be stopped, paused and lost.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::{Scratch, soon};

/// A `redis-server`, or what `REDIS_SERVER` names, such as `valkey-server`, that begins with nothing. It ends
/// with the test.
pub struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    password: Option<String>,
    process: Option<Child>,
    directory: Scratch,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        RedisServer::start_with(&[]).await
    }

    /// Starts one with options of its own, such as `["--requirepass", "secret"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        let port = free_port();
        let arguments =
            ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let password = options.iter().position(|option| *option == "--requirepass").map(|at| options[at + 1]);
        RedisServer::launch(port, password, &[&arguments[..], options].concat()).await
    }

    /// Starts a sentinel with settings of its own; its password is `password`.
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

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Its address without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to a command, as the text of one line: `:3`, `+OK`, `-ERR …`, or the length of
    /// what follows.
    pub async fn ask(&self, command: &str) -> String {
        self.ask_all(command).await.0
    }

    /// What it answers to a command whose answer is a text.
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

    /// Ends the process at once; what it held in memory is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts a process that was killed again, on the same port.
    pub async fn run_again(&mut self) {
        let program = std::env::var("REDIS_SERVER").unwrap_or("redis-server".into());
        let mut command = Command::new(program);
        // A replica writes what it is told to a file, and whoever starts beside that file begins with it.
        command.args(&self.arguments).current_dir(self.directory.file(""));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(process.expect("`redis-server` is installed"));
        soon("redis-server answers", answers(self.port)).await;
    }

    /// Stops the process where it is: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused process go on.
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

/// Sends a signal, such as `-STOP`, to a process that the test started.
pub fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.expect("`kill` is there").success(), "the process {pid} takes {signal}");
}

/// A port that nobody listens on now.
///
/// It is below those that the system gives out by itself: one of these may be anybody's before it is
/// listened on, or while a server that had it is away.
pub fn free_port() -> u16 {
    let random = || RandomState::new().build_hasher().finish();
    let mut ports = std::iter::repeat_with(|| 20_000 + (random() % 12_000) as u16);
    ports.find(|port| StdListener::bind(("127.0.0.1", *port)).is_ok()).expect("the ports have no end")
}

/// Waits until a server on the port speaks the protocol of Redis, even if only to refuse.
async fn answers(port: u16) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await
            && stream.write_all(b"PING\r\n").await.is_ok()
            && let Ok(b'+' | b'-') = stream.read_u8().await
        {
            return;
        }
        // It says nowhere else that it has begun to listen.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
