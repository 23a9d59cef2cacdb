//! What a client does with what the server sends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use serde::Serialize;
use switchboard_event::Payload;
use switchboard_wire::emit::{self, Incoming};
use switchboard_wire::with_causes;
use tokio::sync::{Semaphore, mpsc};
use tokio_websockets::{CloseCode, Error, Message};

use crate::client::into_text;
use crate::driver::{Command, End, Shared};

/// Requests of the server that are worked on at once; one more gets no answer, and `@error` says so.
const ANSWERS_MAX: usize = 256;

/// The receiving half of a driver.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    /// Answers to the server's requests go the way of everything else, without keeping it open.
    answers: mpsc::WeakSender<Command>,
    /// A permit for each request of the server that is worked on.
    answering: Arc<Semaphore>,
}

/// The data of `@any`.
#[derive(Serialize)]
struct Heard<'a> {
    event: &'a str,
    data: &'a Payload,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, answers: mpsc::WeakSender<Command>) -> Self {
        Reader { shared, answers, answering: Arc::new(Semaphore::new(ANSWERS_MAX)) }
    }

    /// Reads until the connection ends.
    pub(crate) async fn read(
        &self,
        stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    ) -> End {
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) if message.is_close() => {
                    let (code, reason) = message.as_close().unwrap_or((CloseCode::NO_STATUS_RECEIVED, ""));
                    return End::Lost { code: code.into(), reason: reason.into() };
                }
                Ok(message) if message.is_text() || message.is_binary() => {
                    self.message(message.into_payload().into());
                }
                Ok(_) => {}
                Err(error) => {
                    self.shared.report(&with_causes(&error));
                    break;
                }
            }
        }
        End::CUT
    }

    fn message(&self, frame: Bytes) {
        match emit::decode(&frame) {
            Ok(Incoming::Event { name, data, ack }) => {
                self.tell_any(&name, &data);
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
            Err(error) => self.shared.report(&with_causes(&error)),
        }
    }

    fn tell_any(&self, event: &str, data: &Payload) {
        if self.shared.listeners.has("@any") {
            // Not by way of a `Value`, which does not hold every number that JSON does.
            let heard = Payload::of(&Heard { event, data }).expect("a text and JSON are JSON");
            self.shared.listeners.call("@any", &heard);
        }
    }

    /// Works out the answer to a request of the server beside the connection.
    fn answer(&self, event: &str, data: Payload, ack: Payload) {
        let Some(answerer) = self.shared.listeners.answerer(event) else { return };
        let Ok(permit) = self.answering.clone().try_acquire_owned() else {
            return self.shared.report(&format!("no answer to {event}: {ANSWERS_MAX} others are not done"));
        };
        let (shared, answers, event) = (self.shared.clone(), self.answers.clone(), event.to_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "an answer must not hold up the frames behind its request"
        )]
        tokio::spawn(async move {
            let _permit = permit;
            let answer = match AssertUnwindSafe(async { answerer(data).await }).catch_unwind().await {
                Ok(Some(Ok(answer))) => answer,
                Ok(Some(Err(error))) => {
                    return shared.report(&format!("the answer to {event} cannot be JSON: {error}"));
                }
                Ok(None) => return,
                Err(_) => {
                    tracing::error!(event, "a handler panicked");
                    return shared.report(&format!("the handler of {event} panicked"));
                }
            };
            let mut text = Vec::new();
            emit::write_reply(&mut text, &ack, &answer);
            if let Some(answers) = answers.upgrade() {
                let _ = answers.send(Command::Send(into_text(text))).await;
            }
        });
    }
}
