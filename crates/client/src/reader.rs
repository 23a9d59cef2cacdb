//! Handling of incoming frames: listeners, replies, and requests of the server.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use serde::Serialize;
use serde_json::json;
use switchboard_event::Payload;
use switchboard_log::{limited, printable, with_causes};
use switchboard_wire::emit::{self, Incoming};
use tokio::sync::{Semaphore, mpsc};
use tokio_websockets::{CloseCode, Error, Message};

use crate::encode;
use crate::listeners::Handler;
use crate::meter::Overhead;
use crate::notice::{GOAWAY, Notice};
use crate::session::{Arrival, SESSION};
use crate::shared::{Command, Disconnect, Shared};

/// Maximum number of requests of the server that are handled concurrently. A further one gets no reply and is reported to `@error`.
const HANDLERS_MAX: usize = 256;

pub(crate) struct Reader {
    shared: Arc<Shared>,
    /// Weak, so that the client ends with its last clone.
    replies: mpsc::WeakSender<Command>,
    /// One permit for each request in progress.
    handling: Arc<Semaphore>,
}

/// The data of `@any`.
#[derive(Serialize)]
struct AnyEvent<'a> {
    event: &'a str,
    data: &'a Payload,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, replies: mpsc::WeakSender<Command>) -> Self {
        Reader { shared, replies, handling: Arc::new(Semaphore::new(HANDLERS_MAX)) }
    }

    /// Reads until the connection ends.
    pub(crate) async fn read(
        &self,
        stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
        overhead: &Overhead,
    ) -> Disconnect {
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) if message.is_close() => {
                    let (code, reason) = message.as_close().unwrap_or((CloseCode::NO_STATUS_RECEIVED, ""));
                    return Disconnect::Lost { code: code.into(), reason: reason.into() };
                }
                Ok(message) if message.is_text() || message.is_binary() => {
                    overhead.subtract_message(message.as_payload().len());
                    self.message(message.into_payload().into());
                }
                Ok(_) => {}
                Err(error) => {
                    self.shared.report(&with_causes(&error));
                    break;
                }
            }
        }
        Disconnect::ABNORMAL
    }

    /// Reads the answer to a ticket, which is the first frame. Returns true if the session was resumed.
    pub(crate) async fn read_session(
        &self,
        stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    ) -> bool {
        while let Some(Ok(message)) = stream.next().await {
            if !message.is_text() {
                continue;
            }
            let frame = message.into_payload().into();
            return match emit::decode(&frame) {
                Ok(Incoming::Notice { name: SESSION, data, .. }) => self.shared.session.begin(&data),
                _ => {
                    self.message(frame);
                    false
                }
            };
        }
        false
    }

    fn message(&self, frame: Bytes) {
        match emit::decode(&frame) {
            Ok(Incoming::Event { name, data, ack }) => {
                match self.shared.session.arrived(&frame) {
                    Arrival::New => {}
                    Arrival::Copy => return,
                    Arrival::NewEpoch(room) => {
                        let gap = Payload::of(&json!({ "room": room })).expect("a text is JSON");
                        self.shared.listeners.call("@gap", &gap);
                    }
                }
                self.call_any(&name, &data);
                self.shared.listeners.call(&name, &data);
                if let Some(ack) = ack {
                    self.handle_request(&name, data, ack);
                }
            }
            Ok(Incoming::Reply { ack, data }) => self.shared.pending.resolve(&ack, data),
            Ok(Incoming::Unroutable { shown, .. }) => {
                self.shared.report(&format!("received an event with an invalid name: {shown}"));
            }
            Ok(Incoming::Identify { .. } | Incoming::History { .. } | Incoming::Resume { .. }) => {
                self.shared
                    .report("received an event that only clients send: @identify, @history or @resume");
            }
            Ok(Incoming::Notice { name: SESSION, data, .. }) => {
                self.shared.session.begin(&data);
            }
            Ok(Incoming::Notice { name: GOAWAY, data, .. }) => {
                let notice = Notice::read(&data).filter(|_| self.shared.options.reconnect);
                self.shared.notices.send_replace(notice);
            }
            Ok(Incoming::Notice { name, data, .. }) => {
                match name {
                    "@recovered" => self.shared.session.recovered(&data),
                    "@joined" => self.shared.session.joined(&data),
                    _ => {}
                }
                self.shared.listeners.call(name, &data);
            }
            Err(error) => self.shared.report(&with_causes(&error)),
        }
    }

    fn call_any(&self, event: &str, data: &Payload) {
        if self.shared.listeners.has("@any") {
            // Not through `serde_json::Value`, which cannot represent every JSON number.
            let any = Payload::of(&AnyEvent { event, data }).expect("a text and JSON are JSON");
            self.shared.listeners.call("@any", &any);
        }
    }

    /// Runs the handler of a request in a task of its own, so that it does not delay later frames.
    fn handle_request(&self, event: &str, data: Payload, ack: Payload) {
        let Some(handler) = self.shared.listeners.handler(event) else { return };
        let Ok(permit) = self.handling.clone().try_acquire_owned() else {
            let error = format!("no reply to {event}: {HANDLERS_MAX} other requests are in progress");
            return self.shared.report(&error);
        };
        let (shared, replies, event) = (self.shared.clone(), self.replies.clone(), event.to_owned());
        #[expect(clippy::disallowed_methods, reason = "at most HANDLERS_MAX, and it ends with its handler")]
        tokio::spawn(async move {
            let _permit = permit;
            match run(&event, handler, data).await {
                Ok(Some(data)) => {
                    if let Some(replies) = replies.upgrade() {
                        let _ = replies.send(Command::Send(encode::reply(&ack, &data))).await;
                    }
                }
                Ok(None) => {}
                Err(error) => shared.report(&error),
            }
        });
    }
}

/// Runs a handler and returns its reply, or the message for `@error`.
async fn run(event: &str, handler: Handler, data: Payload) -> Result<Option<Payload>, String> {
    match AssertUnwindSafe(async { handler(data).await }).catch_unwind().await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(reply))) => Ok(Some(reply)),
        Ok(Some(Err(error))) => Err(format!("the reply to {event} is invalid: {error}")),
        Err(_) => {
            limited!(ERROR, event = printable(event), "handler panicked; the request gets no reply");
            Err(format!("the handler of {event} panicked"))
        }
    }
}
