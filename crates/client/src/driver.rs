//! The task of a client: it sends, receives, and reconnects.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt, StreamExt};
use serde_json::json;
use switchboard_event::Payload;
use switchboard_log::with_causes;
use tokio::sync::{mpsc, watch};
use tokio_websockets::Message;

use crate::backoff;
use crate::endpoint::{Connected, Endpoint, Socket};
use crate::error::ConnectError;
use crate::mover::{Moved, Mover};
use crate::options::Options;
use crate::reader::Reader;
use crate::renewal::Renewal;
use crate::shared::{Command, Disconnect, Shared};

/// Commands that wait for the task. When the channel is full, `emit` waits.
const COMMANDS_MAX: usize = 256;

/// How long the task tries to answer the server's close frame.
const CLOSE_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens the first connection and starts the task.
pub(crate) async fn start(
    address: &str,
    options: Options,
    closing: watch::Receiver<bool>,
) -> Result<(Arc<Shared>, mpsc::Sender<Command>), ConnectError> {
    let endpoint = Arc::new(Endpoint::new(address, &options)?);
    let connected = endpoint.connect(&options, None).await?;
    let shared = Shared::connected(options);
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let reader = Reader::new(shared.clone(), sender.downgrade());
    let renewal = Renewal { shared: shared.clone(), commands: sender.downgrade() };
    let driver = Driver { endpoint, shared: shared.clone(), commands, reader, renewal, unreported: None };
    #[expect(clippy::disallowed_methods, reason = "the one task of a client; it ends with the last clone")]
    tokio::spawn(driver.run(connected, closing));
    Ok((shared, sender))
}

/// How long a client reads from its old connection after another one has taken the session over.
const OLD_CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// How the exchange on a connection ended.
enum Exchanged {
    Disconnected(Disconnect),
    /// Another connection replaces it.
    Moved(Box<Moved>),
}

/// The task's state.
struct Driver {
    endpoint: Arc<Endpoint>,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    reader: Reader,
    renewal: Renewal,
    /// The end of the connection as far as it is known. `None` without a connection, or after `@disconnect`.
    unreported: Option<Disconnect>,
}

impl Driver {
    /// Runs until the program closes the client or the connection is lost for good. The close time-out ends it
    /// in any state, so a server that does not read cannot keep it open.
    async fn run(mut self, connected: Connected, closing: watch::Receiver<bool>) {
        let timeout = self.shared.options.close_timeout;
        let timed_out = tokio::select! {
            () = self.drive(connected) => false,
            () = close_timeout(closing, timeout) => true,
        };
        self.shared.disconnect(true);
        if timed_out {
            self.report_disconnect();
        }
    }

    async fn drive(&mut self, Connected { mut socket, mut token, .. }: Connected) {
        self.unreported = Some(Disconnect::ABNORMAL);
        loop {
            let disconnect = match self.exchange(&mut socket, token.take()).await {
                Exchanged::Disconnected(disconnect) => disconnect,
                Exchanged::Moved(moved) => {
                    (socket, token) = self.adopt(socket, *moved).await;
                    continue;
                }
            };
            let is_last = matches!(disconnect, Disconnect::Closed) || !self.shared.options.reconnect;
            self.shared.disconnect(is_last);
            self.finish(&mut socket, disconnect).await;
            self.report_disconnect();
            if is_last {
                return;
            }
            let Some((next, attempt)) = self.reconnect().await else { return };
            let answers_ticket = next.answers_ticket;
            (socket, token) = (next.socket, next.token);
            self.unreported = Some(Disconnect::ABNORMAL);
            let resumed = answers_ticket && self.read_session(&mut socket).await;
            if !self.send_queued(&mut socket).await {
                continue;
            }
            self.call("@connection", &json!({ "resumed": resumed }));
            self.call("@reconnect", &json!({ "attempt": attempt, "resumed": resumed }));
        }
    }

    fn report_disconnect(&mut self) {
        let (code, reason) = match self.unreported.take() {
            Some(Disconnect::Closed) => (1000, String::new()),
            Some(Disconnect::Lost { code, reason }) => (code, reason),
            None => return,
        };
        self.call("@disconnect", &json!({ "code": code, "reason": reason }));
    }

    fn call(&self, event: &str, data: &serde_json::Value) {
        let data = Payload::of(data).expect("a JSON value is JSON");
        self.shared.listeners.call(event, &data);
    }

    /// Sends and receives concurrently until the connection ends. Neither direction waits for the other, because
    /// a server that writes before it reads would block both.
    async fn exchange(&mut self, socket: &mut Socket, token: Option<String>) -> Exchanged {
        // A notice on the previous connection says nothing about this one.
        self.shared.notices.send_replace(None);
        let (holding, mut held) = watch::channel(false);
        let (shared, endpoint, reader) = (&self.shared, &*self.endpoint, &self.reader);
        let mover = Mover { shared, endpoint, reader, holding: &holding };
        let mut moving = pin!(mover.run());
        let overhead = socket.get_ref().overhead();
        let (mut sink, mut stream) = socket.split();
        let disconnect = tokio::select! {
            disconnect = send(&mut self.commands, &mut sink, &mut held) => disconnect,
            disconnect = self.reader.read(&mut stream, &overhead) => disconnect,
            moved = &mut moving => {
                if moved.resumed {
                    // What the old connection still brings precedes everything on the new one.
                    let rest = self.reader.read(&mut stream, &overhead);
                    let _ = tokio::time::timeout(OLD_CONNECTION_TIMEOUT, rest).await;
                }
                return Exchanged::Moved(Box::new(moved));
            }
            never = self.renewal.run(token) => match never {},
        };
        // The server closes the old connection as soon as it has passed the session on.
        if *holding.borrow() && matches!(disconnect, Disconnect::Lost { .. }) {
            let moved = tokio::time::timeout(OLD_CONNECTION_TIMEOUT, moving);
            // A read sends the answer to the close frame, for which the old node waits.
            let answered = async {
                while stream.next().await.is_some() {}
                std::future::pending::<()>().await
            };
            tokio::select! {
                Ok(moved) = moved => return Exchanged::Moved(Box::new(moved)),
                () = answered => {}
                else => {}
            }
        }
        Exchanged::Disconnected(disconnect)
    }

    /// Continues on a connection that replaces another one.
    async fn adopt(&mut self, mut old: Socket, moved: Moved) -> (Socket, Option<String>) {
        let Moved { connected: Connected { mut socket, token, .. }, resumed } = moved;
        if resumed {
            // An error ends the connection at the next read.
            let _ = socket.send(Message::text(self.shared.session.resume_message())).await;
        }
        self.call("@disconnect", &json!({ "code": 1012, "reason": "moved to another node" }));
        self.call("@connection", &json!({ "resumed": resumed }));
        self.call("@reconnect", &json!({ "attempt": 0, "resumed": resumed }));
        let _ = tokio::time::timeout(CLOSE_ANSWER_TIMEOUT, old.close()).await;
        (socket, token)
    }

    /// Completes the close handshake as far as possible.
    async fn finish(&mut self, socket: &mut Socket, disconnect: Disconnect) {
        match disconnect {
            Disconnect::Closed => {
                close_handshake(socket).await;
                // Set only now, because a close that times out is reported as abnormal.
                self.unreported = Some(Disconnect::Closed);
            }
            Disconnect::Lost { .. } => {
                self.unreported = Some(disconnect);
                // The next read sends the answer to a close frame.
                let _ = tokio::time::timeout(CLOSE_ANSWER_TIMEOUT, socket.next()).await;
            }
        }
    }

    /// Waits for the answer to a ticket, which precedes everything else. If the session was resumed, sends the last positions that the
    /// client knows, so that the server sends the missed messages, and returns true.
    async fn read_session(&self, socket: &mut Socket) -> bool {
        let answer = self.reader.read_session(socket);
        let answer = tokio::time::timeout(self.shared.options.connect_timeout, answer).await;
        let resumed = answer.unwrap_or(false);
        if resumed {
            // An error ends the connection at the next read.
            let _ = socket.send(Message::text(self.shared.session.resume_message())).await;
        }
        resumed
    }

    /// Sends the requests that are repeated, and the frames that were queued without a connection. Returns false if the
    /// connection was lost again.
    async fn send_queued(&self, socket: &mut Socket) -> bool {
        for text in self.shared.pending.repeated() {
            if socket.send(Message::text(text)).await.is_err() {
                return false;
            }
        }
        while let Some(text) = self.shared.next_queued() {
            if socket.send(Message::text(text)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Tries until a connection opens. Returns `None` after the last try, or when the program closes the client.
    async fn reconnect(&mut self) -> Option<(Connected, u32)> {
        let shared = self.shared.clone();
        let options = &shared.options;
        for attempt in 0..options.max_retries {
            let (delay, max) = (options.reconnect_delay, options.max_reconnect_delay);
            let wait = backoff::delay_before(attempt, delay, max, rand::random());
            let (endpoint, ticket) = (self.endpoint.clone(), shared.session.ticket());
            let next = async {
                tokio::time::sleep(wait).await;
                endpoint.connect(options, ticket.as_deref()).await
            };
            tokio::select! {
                connected = next => match connected {
                    Ok(connected) => return Some((connected, attempt + 1)),
                    Err(error) => {
                        shared.report(&format!("reconnect {} failed: {}", attempt + 1, with_causes(&error)));
                    }
                },
                () = self.closed() => return None,
            }
        }
        None
    }

    /// Waits until the program closes the client or drops the last clone. Frames that were sent just before the
    /// connection was lost are dropped here, like other frames in flight.
    async fn closed(&mut self) {
        while let Some(Command::Send(_)) = self.commands.recv().await {}
    }
}

/// Waits until the program closes the client or drops the last clone, and then for the close time-out.
async fn close_timeout(mut closing: watch::Receiver<bool>, timeout: Duration) {
    let _ = closing.wait_for(|closing| *closing).await;
    tokio::time::sleep(timeout).await;
}

/// Sends until the program closes the client or the connection is lost.
async fn send(
    commands: &mut mpsc::Receiver<Command>,
    sink: &mut (impl Sink<Message> + Unpin),
    held: &mut watch::Receiver<bool>,
) -> Disconnect {
    while let Some(Command::Send(text)) = next_command(commands, held).await {
        let message = Message::text(text);
        // A frame with another one behind it is not flushed yet, so that they leave together.
        let sent = if commands.is_empty() { sink.send(message).await } else { sink.feed(message).await };
        if sent.is_err() {
            return Disconnect::ABNORMAL;
        }
    }
    // A split sink holds the last message back until it is flushed.
    let _ = sink.flush().await;
    Disconnect::Closed
}

/// Waits for the next command. While frames are held back, they stay in the channel.
async fn next_command(
    commands: &mut mpsc::Receiver<Command>,
    held: &mut watch::Receiver<bool>,
) -> Option<Command> {
    loop {
        let _ = held.wait_for(|held| !held).await;
        tokio::select! {
            biased;
            Ok(_) = held.wait_for(|held| *held) => {}
            command = commands.recv() => return command,
        }
    }
}

/// Sends a close frame and waits for the server's.
async fn close_handshake(socket: &mut Socket) {
    if socket.close().await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
