//! The task of a connection: sends, reads, and connects again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Sink, SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::json;
use switchboard_event::Payload;
use switchboard_wire::with_causes;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_websockets::{ClientBuilder, Connector, MaybeTlsStream, Message, WebSocketStream};

use crate::backoff;
use crate::error::{ConnectError, EmitError};
use crate::listeners::{Listeners, error_data};
use crate::options::Options;
use crate::pending::Pending;
use crate::reader::Reader;
use crate::tls;

/// Messages between a client and its driver; a full channel makes `emit` wait.
const COMMANDS_MAX: usize = 256;

/// How long the answer to the server's close frame may take; it is a courtesy.
const CLOSE_ANSWER_WAIT: Duration = Duration::from_secs(1);

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

    /// Everything that waits for this connection fails; with `ended` nothing waits for another.
    fn disconnected(&self, ended: bool) {
        let mut state = self.state();
        state.connected = false;
        state.ended = ended;
        drop(state);
        self.pending.hang_up();
    }

    pub(crate) fn report(&self, error: &str) {
        self.listeners.call("@error", &error_data(error));
    }
}

/// Opens the first connection and starts the driver.
pub(crate) async fn start(
    address: &str,
    options: Options,
    closing: watch::Receiver<bool>,
) -> Result<(Arc<Shared>, mpsc::Sender<Command>), ConnectError> {
    let address = Arc::new(Address::new(address, &options)?);
    let socket = address.open(&options).await?;
    let state = Mutex::new(State { connected: true, ..State::default() });
    let shared = Arc::new(Shared { options, listeners: Arc::default(), pending: Pending::default(), state });
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let reader = Reader::new(shared.clone(), sender.downgrade());
    let driver = Driver { address, shared: shared.clone(), commands, reader, end: None };
    #[expect(clippy::disallowed_methods, reason = "the one task of a client; it ends with the last clone")]
    tokio::spawn(driver.run(socket, closing));
    Ok((shared, sender))
}

/// Where to connect, and how.
struct Address {
    uri: Uri,
    connector: Connector,
}

impl Address {
    fn new(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let bad = || ConnectError::Address(address.into());
        let uri: Uri = address.parse().map_err(|_| bad())?;
        let connector = match uri.scheme_str() {
            Some("ws") if uri.host().is_some() => Connector::Plain,
            Some("wss") if uri.host().is_some() => tls::connector(options)?,
            _ => return Err(bad()),
        };
        Ok(Address { uri, connector })
    }

    async fn open(&self, options: &Options) -> Result<Socket, ConnectError> {
        let mut builder = ClientBuilder::from_uri(self.uri.clone()).connector(&self.connector);
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
        let (socket, _) = opened.map_err(|_| ConnectError::Timeout(timeout))?.map_err(tls::failed)?;
        Ok(socket)
    }
}

struct Driver {
    address: Arc<Address>,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    reader: Reader,
    /// How the connection ended, as far as that is known; `None` without one.
    end: Option<End>,
}

/// How a connection ended.
pub(crate) enum End {
    /// The program closed it, or dropped its last client.
    Ours,
    /// It was lost.
    Lost { code: u16, reason: String },
}

impl End {
    /// Without a close frame.
    pub(crate) const CUT: End = End::Lost { code: 1006, reason: String::new() };
}

impl Driver {
    /// Drives until the program closes, or the connection is lost for good. A close that takes too
    /// long ends it wherever it is: a server that does not read would hold it up for ever.
    async fn run(mut self, socket: Socket, closing: watch::Receiver<bool>) {
        let timeout = self.shared.options.close_timeout;
        let is_cut = tokio::select! {
            () = self.drive(socket) => false,
            () = close_overdue(closing, timeout) => true,
        };
        self.shared.disconnected(true);
        if is_cut {
            self.tell_end();
        }
    }

    async fn drive(&mut self, mut socket: Socket) {
        self.end = Some(End::CUT);
        loop {
            let end = self.speak(&mut socket).await;
            let last = matches!(end, End::Ours) || !self.shared.options.reconnect;
            self.shared.disconnected(last);
            self.part(&mut socket, end).await;
            self.tell_end();
            if last {
                return;
            }
            let Some((next, attempt)) = self.reconnect().await else { return };
            socket = next;
            self.end = Some(End::CUT);
            if !self.send_queued(&mut socket).await {
                continue;
            }
            self.call("@connection", &json!({}));
            self.call("@reconnect", &json!({ "attempt": attempt }));
        }
    }

    fn tell_end(&mut self) {
        let (code, reason) = match self.end.take() {
            Some(End::Ours) => (1000, String::new()),
            Some(End::Lost { code, reason }) => (code, reason),
            None => return,
        };
        self.call("@disconnect", &json!({ "code": code, "reason": reason }));
    }

    fn call(&self, event: &str, data: &serde_json::Value) {
        let data = Payload::of(data).expect("a JSON value is JSON");
        self.shared.listeners.call(event, &data);
    }

    /// Sends and reads until the connection ends. Neither waits for the other: a server that writes
    /// before it reads would stop us both.
    async fn speak(&mut self, socket: &mut Socket) -> End {
        let (mut sink, mut stream) = socket.split();
        tokio::select! {
            end = send(&mut self.commands, &mut sink) => end,
            end = self.reader.read(&mut stream) => end,
        }
    }

    /// Gets the last close frame out. A close of ours has happened when the server has answered it.
    async fn part(&mut self, socket: &mut Socket, end: End) {
        match end {
            End::Ours => {
                say_goodbye(socket).await;
                self.end = Some(End::Ours);
            }
            End::Lost { .. } => {
                self.end = Some(end);
                // Reading on is what sends the answer to a close frame.
                let _ = tokio::time::timeout(CLOSE_ANSWER_WAIT, socket.next()).await;
            }
        }
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
            let address = self.address.clone();
            let next = async {
                tokio::time::sleep(wait).await;
                address.open(options).await
            };
            tokio::select! {
                opened = next => match opened {
                    Ok(socket) => return Some((socket, attempt + 1)),
                    Err(error) => {
                        shared.report(&format!("try {} failed: {}", attempt + 1, with_causes(&error)));
                    }
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
    }
}

/// Ready when the program has closed, or dropped its last client, and the time for that is over.
async fn close_overdue(mut closing: watch::Receiver<bool>, timeout: Duration) {
    let _ = closing.wait_for(|closing| *closing).await;
    tokio::time::sleep(timeout).await;
}

/// Sends until the program closes or the connection is lost.
async fn send(commands: &mut mpsc::Receiver<Command>, sink: &mut (impl Sink<Message> + Unpin)) -> End {
    while let Some(Command::Send(text)) = commands.recv().await {
        let message = Message::text(text);
        // What comes right behind goes out with it.
        let sent = if commands.is_empty() { sink.send(message).await } else { sink.feed(message).await };
        if sent.is_err() {
            return End::CUT;
        }
    }
    // The half of a split socket keeps the last message to itself until it is flushed.
    let _ = sink.flush().await;
    End::Ours
}

/// Sends a close frame and waits for the server's.
async fn say_goodbye(socket: &mut Socket) {
    if socket.close().await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
