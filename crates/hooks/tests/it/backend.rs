//! A backend of a test: an HTTP server at the level of bytes, which answers as the test decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long an event may take: several leases, on a busy machine.
const EVENTUALLY: Duration = Duration::from_secs(120);

/// Waits until a condition is met.
pub(crate) async fn until(event: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(EVENTUALLY, met).await.unwrap_or_else(|_| panic!("{event}: not within {EVENTUALLY:?}"));
}

/// A request as the backend received it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// The reaction of the backend to a request.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Answers with a status, further header lines, and a body.
    Answer(u16, &'static str, String),
    /// Answers nothing and keeps the connection.
    Hang,
    /// Sends half a response and closes the connection.
    Break,
    /// Closes the connection.
    Close,
}

impl Action {
    pub(crate) fn status(status: u16) -> Self {
        Action::Answer(status, "", String::new())
    }
}

type Decide = dyn Fn(&Received) -> Action + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    decide: Mutex<Arc<Decide>>,
}

/// A running backend. Dropping it closes its port and its connections.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    running: JoinSet<()>,
}

impl Backend {
    pub(crate) async fn start(decide: impl Fn(&Received) -> Action + Send + Sync + 'static) -> Self {
        let decide: Arc<Decide> = Arc::new(decide);
        let shared = Arc::new(Shared { received: Mutex::default(), decide: Mutex::new(decide) });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut backend = Backend { address, shared, running: JoinSet::new() };
        backend.run(listener);
        backend
    }

    fn run(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        self.running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
    }

    /// Closes the port and all connections.
    pub(crate) async fn die(&mut self) {
        self.running.shutdown().await;
    }

    /// Listens on the same port again.
    pub(crate) async fn come_back(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("the option exists");
        socket.bind(self.address).expect("the port is still free");
        self.run(socket.listen(64).expect("it is bound"));
    }

    pub(crate) fn decide(&self, decide: impl Fn(&Received) -> Action + Send + Sync + 'static) {
        *self.shared.decide.lock().unwrap() = Arc::new(decide);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<Received>> {
        self.shared.received.lock().unwrap()
    }

    /// The reports of all requests, in the order of their arrival.
    pub(crate) fn reports(&self) -> Vec<Value> {
        self.requests().iter().flat_map(|request| reports_of(&request.body)).collect()
    }

    /// Waits until a report arrives for which `found` is true.
    pub(crate) async fn report(&self, found: impl Fn(&Value) -> bool) -> Value {
        let mut report = None;
        until("the report arrives", async || {
            report = self.reports().into_iter().find(&found);
            report.is_some()
        })
        .await;
        report.expect("it was found")
    }
}

pub(crate) fn reports_of(body: &str) -> Vec<Value> {
    let mut body: Value = serde_json::from_str(body).expect("a body is JSON");
    match body["reports"].take() {
        Value::Array(reports) => reports,
        other => panic!("a body lists reports: {other}"),
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(request) = receive(&mut read).await {
        let decide = shared.decide.lock().unwrap().clone();
        let action = decide(&request);
        shared.received.lock().unwrap().push(request);
        let is_broken = matches!(action, Action::Break);
        let response = match action {
            Action::Answer(status, headers, body) => {
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
            }
            Action::Hang => return std::future::pending().await,
            Action::Break => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".into(),
            Action::Close => return,
        };
        if write.write_all(response.as_bytes()).await.is_err() || is_broken {
            return;
        }
    }
}

async fn receive(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Received> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok().filter(|len| *len > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        read.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let len = headers.get("content-length").map_or(0, |len| len.parse().expect("a number"));
    let mut body = vec![0; len];
    read.read_exact(&mut body).await.ok()?;
    Some(Received { path, headers, body: String::from_utf8(body).expect("JSON is UTF-8") })
}
