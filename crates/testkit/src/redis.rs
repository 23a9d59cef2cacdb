//! A Redis server of the test's own, on a free port, that can be stopped, paused and lost.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;

/// A `redis-server` that keeps nothing on disk. It ends with the test.
pub struct RedisServer {
    port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        RedisServer::start_with(&[]).await
    }

    /// Starts one with options of its own, such as `["--requirepass", "secret"]`.
    pub async fn start_with(options: &[&str]) -> Self {
        let port = free_port();
        let options = options.iter().map(|option| option.to_string()).collect();
        let mut server = RedisServer { port, options, process: None };
        server.run_again().await;
        server
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the process at once; what it held is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts a process that was killed again, empty, on the same port.
    pub async fn run_again(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(&self.options).current_dir(std::env::temp_dir());
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
        signal_process(self.process.as_ref().expect("it runs").id(), signal);
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
pub fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("a bound listener has an address").port()
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
