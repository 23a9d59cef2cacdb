//! The task of a connection: sends, reads, and connects again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::json;
use switchboard_event::Payload;
use switchboard_wire::emit::{self, Incoming};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

use crate::backoff;
use crate::client::into_text;
use crate::error::{ConnectError, EmitError};
use crate::listeners::{Listeners, error_data};
use crate::options::Options;
use crate::pending::Pending;

/// Messages between a client and its driver; a full channel makes `emit` wait.
const COMMANDS_MAX: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a client asks of its driver.
pub(crate) enum Command {
    Send(String),
    Close,
}

/// What a client and its driver share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) pending: Pending,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: bool,
    /// No later connection will come.
    ended: bool,
    queue: VecDeque<String>,
    queued_bytes: usize,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the state panics")
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// Keeps a message for later if there is no connection; else gives it back to be sent.
    pub(crate) fn queue_if_away(&self, text: String) -> Result<Option<String>, EmitError> {
        let mut state = self.state();
        if state.connected {
            return Ok(Some(text));
        }
        let max = self.options.queue_bytes_max;
        if state.ended || max == 0 {
            return Err(EmitError::Disconnected);
        }
        if state.queued_bytes + text.len() > max {
            return Err(EmitError::QueueFull(max));
        }
        state.queued_bytes += text.len();
        state.queue.push_back(text);
        Ok(None)
    }

    /// The next message kept for later; when there is none, later is now.
    fn next_queued(&self) -> Option<String> {
        let mut state = self.state();
        let next = state.queue.pop_front();
        match &next {
            Some(text) => state.queued_bytes -= text.len(),
            None => state.connected = true,
        }
        next
    }

    pub(crate) fn report(&self, error: &str) {
        self.listeners.call("@error", &error_data(error));
    }
}

/// Opens the first connection and starts the driver.
pub(crate) async fn start(
    address: &str,
    options: Options,
) -> Result<(Arc<Shared>, mpsc::Sender<Command>), ConnectError> {
    let uri: Uri = address.parse().map_err(|_| ConnectError::Address(address.into()))?;
    let socket = open(&uri, &options).await?;
    let state = Mutex::new(State { connected: true, ..State::default() });
    let shared = Arc::new(Shared { options, listeners: Arc::default(), pending: Pending::default(), state });
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let driver = Driver { uri, shared: shared.clone(), commands, answers: sender.downgrade() };
    #[expect(clippy::disallowed_methods, reason = "the one task of a client; it ends with the last clone")]
    tokio::spawn(driver.run(socket));
    Ok((shared, sender))
}

async fn open(uri: &Uri, options: &Options) -> Result<Socket, ConnectError> {
    if !matches!(uri.scheme_str(), Some("ws" | "wss")) || uri.host().is_none() {
        return Err(ConnectError::Address(uri.to_string()));
    }
    let mut builder = ClientBuilder::from_uri(uri.clone());
    for (name, value) in &options.headers {
        let bad = || ConnectError::Header(name.clone());
        let header = (
            HeaderName::try_from(name).map_err(|_| bad())?,
            HeaderValue::try_from(value).map_err(|_| bad())?,
        );
        builder = builder.add_header(header.0, header.1).map_err(|_| bad())?;
    }
    let timeout = options.connect_timeout;
    let opened = tokio::time::timeout(timeout, builder.connect()).await;
    let (socket, _) = opened
        .map_err(|_| ConnectError::Timeout(timeout))?
        .map_err(|error| ConnectError::Failed(Box::new(error)))?;
    Ok(socket)
}

struct Driver {
    uri: Uri,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    /// Answers to the server's requests go the way of everything else, without keeping it open.
    answers: mpsc::WeakSender<Command>,
}

/// How a connection ended.
enum End {
    /// The program closed it, or dropped its last client.
    Ours,
    /// It was lost.
    Lost { code: u16, reason: String },
}

impl Driver {
    async fn run(mut self, mut socket: Socket) {
        loop {
            let end = self.speak(&mut socket).await;
            self.shared.state().connected = false;
            let last = matches!(end, End::Ours) || !self.shared.options.reconnect;
            self.shared.state().ended = last;
            self.shared.pending.hang_up();
            let (code, reason) = match end {
                End::Ours => (1000, String::new()),
                End::Lost { code, reason } => (code, reason),
            };
            self.call("@disconnect", &json!({ "code": code, "reason": reason }));
            if last {
                return;
            }
            let Some((next, attempt)) = self.reconnect().await else { break };
            socket = next;
            if !self.send_queued(&mut socket).await {
                continue;
            }
            self.call("@connection", &json!({}));
            self.call("@reconnect", &json!({ "attempt": attempt }));
        }
        self.shared.state().ended = true;
    }

    fn call(&self, event: &str, data: &serde_json::Value) {
        let data = Payload::of(data).expect("a JSON value is JSON");
        self.shared.listeners.call(event, &data);
    }

    /// Sends and reads until the connection ends.
    async fn speak(&mut self, socket: &mut Socket) -> End {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Send(text)) => {
                        if socket.send(Message::text(text)).await.is_err() {
                            return End::Lost { code: 1006, reason: String::new() };
                        }
                    }
                    Some(Command::Close) | None => {
                        self.commands.close();
                        let _ = tokio::time::timeout(self.shared.options.connect_timeout, say_goodbye(socket)).await;
                        return End::Ours;
                    }
                },
                message = socket.next() => match message {
                    Some(Ok(message)) if message.is_close() => {
                        let (code, reason) = message.as_close().unwrap_or((CloseCode::NO_STATUS_RECEIVED, ""));
                        return End::Lost { code: code.into(), reason: reason.into() };
                    }
                    Some(Ok(message)) if message.is_text() || message.is_binary() => {
                        self.message(message.into_payload().into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        self.shared.report(&error.to_string());
                        return End::Lost { code: 1006, reason: String::new() };
                    }
                    None => return End::Lost { code: 1006, reason: String::new() },
                },
            }
        }
    }

    fn message(&self, frame: bytes::Bytes) {
        match emit::decode(&frame) {
            Ok(Incoming::Event { name, data, ack }) => {
                self.call("@any", &json!({ "event": &*name, "data": &data }));
                self.shared.listeners.call(&name, &data);
                if let Some(ack) = ack {
                    self.answer(&name, data, ack);
                }
            }
            Ok(Incoming::Reply { ack, data }) => self.shared.pending.resolve(&ack, data),
            Ok(Incoming::Unroutable { shown, .. }) => {
                self.shared.report(&format!("the server sent an event that cannot be: {shown}"));
            }
            Ok(Incoming::Other) => {}
            Err(error) => self.shared.report(&error.to_string()),
        }
    }

    /// Works out the answer to a request of the server beside the connection.
    fn answer(&self, event: &str, data: Payload, ack: Payload) {
        let Some(answerer) = self.shared.listeners.answerer(event) else { return };
        let answers = self.answers.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "an answer must not hold up the frames behind its request"
        )]
        tokio::spawn(async move {
            let Some(answer) = answerer(data).await else { return };
            let mut text = Vec::new();
            emit::write_reply(&mut text, &ack, &answer);
            if let Some(answers) = answers.upgrade() {
                let _ = answers.send(Command::Send(into_text(text))).await;
            }
        });
    }

    /// Sends what was kept while the connection was away; false if it was lost again.
    async fn send_queued(&self, socket: &mut Socket) -> bool {
        while let Some(text) = self.shared.next_queued() {
            if socket.send(Message::text(text)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Tries until a connection opens; `None` if it was tried often enough or nobody wants one.
    async fn reconnect(&mut self) -> Option<(Socket, u32)> {
        let shared = self.shared.clone();
        let options = &shared.options;
        for attempt in 0..options.max_retries {
            let (delay, max) = (options.reconnect_delay, options.max_reconnect_delay);
            let wait = backoff::wait(attempt, delay, max, rand::random());
            let uri = self.uri.clone();
            let next = async {
                tokio::time::sleep(wait).await;
                open(&uri, options).await
            };
            tokio::select! {
                opened = next => match opened {
                    Ok(socket) => return Some((socket, attempt + 1)),
                    Err(error) => shared.report(&format!("try {} failed: {error}", attempt + 1)),
                },
                () = self.closed() => return None,
            }
        }
        None
    }

    /// Ready when the program closes or drops the client. What was sent too late to be sent is
    /// dropped, like everything that a lost connection had under way.
    async fn closed(&mut self) {
        while let Some(Command::Send(_)) = self.commands.recv().await {}
        self.commands.close();
    }
}

/// Sends a close frame and waits for the server's.
async fn say_goodbye(socket: &mut Socket) {
    if socket.close().await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
