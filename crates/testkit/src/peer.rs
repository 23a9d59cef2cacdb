//! An emit client at the level of frames.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_websockets::{ClientBuilder, CloseCode, Connector, MaybeTlsStream, Message, WebSocketStream};

use crate::{SOON, read_json, soon};

/// A connection. Every wait has a timeout, and frames are read in order.
pub struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ack: u64,
    /// The client receives positions.
    is_extended: bool,
    /// Positions of rooms that the client has joined. They may arrive at any time, so no other method returns them.
    joined: VecDeque<Value>,
}

impl Peer {
    /// Connects.
    pub async fn connect(url: &str) -> Self {
        Peer::try_connect(url, &[]).await.expect("the server accepts")
    }

    /// Connects with headers; the error is the server's refusal.
    pub async fn try_connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, String> {
        Peer::connect_by(&Connector::Plain, url, headers).await
    }

    /// Connects to a `wss://` address with this configuration; the error is that of the TLS handshake or the server's
    /// refusal.
    pub async fn try_connect_tls(url: &str, config: &Arc<ClientConfig>) -> Result<Self, String> {
        Peer::connect_by(&Connector::Rustls(config.clone().into()), url, &[]).await
    }

    async fn connect_by(
        connector: &Connector,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, String> {
        let mut builder =
            ClientBuilder::new().connector(connector).uri(url).map_err(|error| error.to_string())?;
        for (name, value) in headers {
            let value = value.parse().map_err(|_| format!("{value} is not a header value"))?;
            builder = builder
                .add_header((*name).parse().expect("a header name"), value)
                .map_err(|e| e.to_string())?;
        }
        let (socket, _) =
            soon("the handshake", builder.connect()).await.map_err(|error| error.to_string())?;
        let is_extended = url.contains("sb=1");
        Ok(Peer { socket, next_ack: 1, is_extended, joined: VecDeque::new() })
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("the connection is open");
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).await.expect("the connection is open");
    }

    /// Sends a close frame and does not read the reply.
    pub async fn send_close(&mut self, code: u16) {
        let code = CloseCode::try_from(code).expect("a code that may be sent");
        self.socket.send(Message::close(Some(code), "")).await.expect("the connection is open");
    }

    /// Sends a value as a text frame.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    /// Sends a value as a text frame, if the connection is still open.
    pub async fn try_send(&mut self, frame: &Value) -> Result<(), String> {
        let sent = self.socket.send(Message::text(frame.to_string())).await;
        sent.map_err(|error| error.to_string())
    }

    /// Sends an event without a request id.
    pub async fn emit(&mut self, event: &str, data: Value) {
        self.send(&json!({ "event": event, "data": data })).await;
    }

    /// Sends a request and returns the next frame as its reply. Earlier frames must have been read.
    pub async fn request(&mut self, event: &str, data: Value) -> Value {
        let ack = self.next_ack.to_string();
        self.next_ack += 1;
        self.send(&json!({ "event": event, "data": data, "ackId": ack })).await;
        let mut reply = self.next().await;
        assert_eq!(reply["type"], "ack", "the next frame is the reply to {event}: {reply}");
        assert_eq!(reply["ackId"], ack);
        reply["data"].take()
    }

    /// The next frame.
    pub async fn next(&mut self) -> Value {
        read_json(&self.next_text().await).expect("every frame is JSON")
    }

    /// The next frame as it was received.
    pub async fn next_text(&mut self) -> String {
        let message = self.next_message().await.expect("the connection is open");
        assert!(message.is_text(), "every frame of the server is text: {message:?}");
        message.as_text().expect("it is text").to_owned()
    }

    /// The next frame, or the code of the close frame in its place; 1006 if the connection was cut.
    pub async fn next_or_close(&mut self) -> Result<Value, u16> {
        let message = self.next_message().await.ok_or(1006_u16)?;
        match message.as_close() {
            Some((code, _)) => Err(code.into()),
            None => Ok(serde_json::from_slice(message.as_payload()).expect("every frame is JSON")),
        }
    }

    /// The next frame, or the unexpected item.
    pub async fn try_next(&mut self) -> Result<Value, String> {
        let message = self.try_next_message().await?;
        let text = message.as_text().filter(|_| message.is_text()).ok_or_else(|| format!("{message:?}"))?;
        read_json(text).map_err(|error| format!("{text}: {error}"))
    }

    /// The code of the next close frame, or the unexpected item.
    pub async fn next_close(&mut self) -> Result<u16, String> {
        let message = self.try_next_message().await?;
        message.as_close().map(|(code, _)| code.into()).ok_or_else(|| format!("{message:?}"))
    }

    /// Checks, in any protocol, that no frame is pending: sends a WebSocket ping and expects its pong next. The
    /// error is the unexpected item.
    pub async fn silent(&mut self) -> Result<(), String> {
        const MARK: &[u8] = b"no frame before this";
        self.socket.send(Message::ping(MARK)).await.map_err(|error| error.to_string())?;
        loop {
            let message = soon("a pong", self.socket.next()).await.ok_or("nothing more")?;
            let message = message.map_err(|error| error.to_string())?;
            if message.is_pong() && &message.as_payload()[..] == MARK {
                return Ok(());
            }
            if !message.is_ping() && !self.takes_joined(&message) {
                return Err(format!("{message:?}"));
            }
        }
    }

    /// Waits for a ping and answers it. No other frame may come before it. Pings are answered only while frames are
    /// read.
    pub async fn answer_ping(&mut self) {
        loop {
            let message = soon("a ping", self.socket.next()).await.expect("the connection is open");
            let message = message.expect("the connection is open");
            if !self.takes_joined(&message) {
                assert!(message.is_ping(), "{message:?}");
                break;
            }
        }
        self.socket.flush().await.expect("the connection is open");
    }

    async fn try_next_message(&mut self) -> Result<Message, String> {
        let next = tokio::time::timeout(SOON, self.skip_pings()).await;
        next.map_err(|_| format!("nothing within {SOON:?}"))?
            .ok_or_else(|| "the end of the connection".into())
    }

    /// The next frame, an event: its name and data.
    pub async fn next_event(&mut self) -> (String, Value) {
        let mut frame = self.next().await;
        let name = frame["event"].as_str().unwrap_or_else(|| panic!("not an event: {frame}")).to_owned();
        (name, frame["data"].take())
    }

    async fn next_message(&mut self) -> Option<Message> {
        soon("a frame", self.skip_pings()).await
    }

    /// The next item except pings, to which the library replies.
    async fn skip_pings(&mut self) -> Option<Message> {
        loop {
            let message = self.socket.next().await?.ok()?;
            if !message.is_ping() && !message.is_pong() && !self.takes_joined(&message) {
                return Some(message);
            }
        }
    }

    /// Keeps the position of a room that the client has joined. Returns false if the message is another one.
    fn takes_joined(&mut self, message: &Message) -> bool {
        const NAMES: [&str; 2] = [r#""@joined""#, r#""@@SWITCHBOARD/joined""#];
        let text = message.as_text().filter(|_| self.is_extended && message.is_text());
        let Some(text) = text.filter(|text| NAMES.iter().any(|name| text.contains(name))) else {
            return false;
        };
        self.joined.push_back(read_json(text).expect("every frame is JSON"));
        true
    }

    /// The next position of a room that the client has joined, the whole frame. No other frame may come before it.
    pub async fn next_joined(&mut self) -> Value {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.joined.is_empty() {
            let message = tokio::time::timeout_at(deadline, self.socket.next()).await;
            let message = message.expect("a position arrives").expect("the connection is open");
            let message = message.expect("the connection is open");
            let is_other = !self.takes_joined(&message) && !message.is_ping();
            assert!(!is_other, "the next frame is a position: {message:?}");
        }
        self.joined.pop_front().expect("there is one")
    }

    /// Checks that no frame is pending: sends a request that no handler takes and expects its reply next.
    pub async fn quiet(&mut self) {
        let reply = self.request("/without-a-handler", json!({})).await;
        assert_eq!(reply["error"], "No handler for: /without-a-handler");
    }

    /// Reads to the close frame and returns its code and reason; 1006 if the connection was cut.
    pub async fn closed(&mut self) -> (u16, String) {
        while let Some(message) = self.next_message().await {
            if let Some((code, reason)) = message.as_close() {
                return (code.into(), reason.to_owned());
            }
        }
        (1006, String::new())
    }

    /// Closes with 1000 and waits for the reply.
    pub async fn close(mut self) {
        let _ = self.socket.close().await;
        while self.next_message().await.is_some() {}
    }
}
