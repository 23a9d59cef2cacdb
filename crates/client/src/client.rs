//! The client: what a program holds, as many clones as it likes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_event::Payload;
use switchboard_wire::emit;
use tokio::sync::{mpsc, watch};

use crate::driver::{self, Command, Shared};
use crate::error::{ConnectError, EmitError, RequestError};
use crate::listeners::Subscription;
use crate::options::Options;

/// A connection to a server. Cheap to clone; it closes when the last clone is dropped, in the way of
/// [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// Tells the driver, past everything that waits to be sent, that the close time-out runs.
    closing: watch::Sender<bool>,
}

impl Client {
    /// Connects with the default [`Options`].
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        Client::connect_with(address, Options::default()).await
    }

    /// Connects. Fails if the first connection does not open; only later ones are tried again.
    pub async fn connect_with(address: &str, options: Options) -> Result<Self, ConnectError> {
        let closing = watch::Sender::new(false);
        let (shared, commands) = driver::start(address, options, closing.subscribe()).await?;
        Ok(Client { shared, commands, closing })
    }

    /// Sends an event, and waits while the connection is busy. Without a connection it goes into
    /// the queue, if the options ask for one.
    pub async fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let text = text_of(event, data)?;
        let Some(text) = self.shared.queue_if_away(text)? else { return Ok(()) };
        self.commands.send(Command::Send(text)).await.map_err(|_| EmitError::Disconnected)
    }

    /// Sends an event now or not at all: for listeners, which must not wait.
    pub fn try_emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let text = text_of(event, data)?;
        let Some(text) = self.shared.queue_if_away(text)? else { return Ok(()) };
        self.commands.try_send(Command::Send(text)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => EmitError::Disconnected,
        })
    }

    /// Sends an event and waits for the reply, at most the request time-out of the options (10 s).
    /// A lost connection fails it at once.
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.shared.options.request_timeout, event, data).await
    }

    /// [`request`](Self::request) with a time-out of its own.
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        let data = Payload::of(data).map_err(EmitError::from)?;
        let (id, reply) = self.shared.pending.open();
        let _forget = Forget { shared: &self.shared, id };
        // Looked at with the request open: a connection that is lost from here on fails it.
        if !self.connected() {
            return Err(EmitError::Disconnected.into());
        }
        let mut text = Vec::new();
        emit::write_request(&mut text, event, &data, &id.to_string());
        let answer = async {
            let sent = self.commands.send(Command::Send(into_text(text))).await;
            sent.map_err(|_| RequestError::Disconnected)?;
            reply.await.map_err(|_| RequestError::Disconnected)
        };
        let reply =
            tokio::time::timeout(timeout, answer).await.map_err(|_| RequestError::Timeout(timeout))??;
        read_reply(&reply)
    }

    /// Calls `listener` for every event of that name, or for a system event:
    ///
    /// | event | when | data |
    /// |---|---|---|
    /// | `@connection` | a later connection is open | `{}` |
    /// | `@reconnect` | the same | `{"attempt":n}` |
    /// | `@disconnect` | the connection is gone | `{"code":n,"reason":text}`; 1006 if it was cut |
    /// | `@error` | a frame was not understood, a try to connect failed, a listener or handler panicked | `{"error":text}` |
    /// | `@any` | before every event's own listeners | `{"event":name,"data":…}` |
    ///
    /// Listeners are called in the order of the frames, one after the other, and must not wait.
    pub fn on(&self, event: &str, listener: impl Fn(Payload) + Send + Sync + 'static) -> Subscription {
        self.shared.listeners.add(event, Arc::new(listener))
    }

    /// [`on`](Self::on) with the data in the shape of `T`; data of another shape goes to `@error`.
    pub fn on_data<T: DeserializeOwned>(
        &self,
        event: &str,
        listener: impl Fn(T) + Send + Sync + 'static,
    ) -> Subscription {
        let shared = Arc::downgrade(&self.shared);
        let name = event.to_owned();
        self.on(event, move |payload| match (payload.to(), shared.upgrade()) {
            (Ok(data), _) => listener(data),
            (Err(error), Some(shared)) => shared.report(&format!("{name}: {error}")),
            (Err(_), None) => {}
        })
    }

    /// Takes away all listeners of an event.
    pub fn off(&self, event: &str) {
        self.shared.listeners.remove(event, None);
    }

    /// Answers the server's requests of that name, in place of who did before. `None` gives no
    /// answer, and the server runs into its time-out; so it does when the handler panics or 256
    /// others are not done, which `@error` tells. Answers are worked out beside each other.
    pub fn handle<R, Fut>(&self, event: &str, handler: impl Fn(Payload) -> Fut + Send + Sync + 'static)
    where
        Fut: Future<Output = Option<R>> + Send + 'static,
        R: Serialize,
    {
        let answerer = move |data| -> crate::listeners::AnswerFuture {
            let answer = handler(data);
            Box::pin(async move { answer.await.map(|answer| Payload::of(&answer)) })
        };
        self.shared.listeners.answer_with(event, Arc::new(answerer));
    }

    /// A view on the events whose names begin with `prefix`.
    pub fn ns(&self, prefix: &str) -> Namespace {
        Namespace { client: self.clone(), prefix: prefix.into() }
    }

    /// Whether the connection is open.
    pub fn connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// Waits until the connection is gone and no other will come.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Closes with 1000, behind everything sent before, and waits until that is done. That takes at
    /// most the close time-out of the options (5 s): then the connection is cut, and what was not
    /// sent by then is lost.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let _ = self.commands.send(Command::Close).await;
        self.ended().await;
    }
}

/// Events under a prefix; see [`Client::ns`].
#[derive(Clone)]
pub struct Namespace {
    client: Client,
    prefix: String,
}

impl Namespace {
    fn name(&self, event: &str) -> String {
        format!("{}{event}", self.prefix)
    }

    /// [`Client::emit`] under the prefix.
    pub async fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        self.client.emit(&self.name(event), data).await
    }

    /// [`Client::request`] under the prefix.
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.client.request(&self.name(event), data).await
    }

    /// [`Client::on`] under the prefix.
    pub fn on(&self, event: &str, listener: impl Fn(Payload) + Send + Sync + 'static) -> Subscription {
        self.client.on(&self.name(event), listener)
    }

    /// [`Client::off`] under the prefix.
    pub fn off(&self, event: &str) {
        self.client.off(&self.name(event));
    }

    /// A namespace in this one.
    pub fn ns(&self, prefix: &str) -> Namespace {
        self.client.ns(&self.name(prefix))
    }
}

/// Nobody waits for a reply any more, however the wait ends.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.pending.forget(self.id);
    }
}

fn text_of<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<String, EmitError> {
    let mut text = Vec::new();
    emit::write_event(&mut text, event, &Payload::of(data)?);
    Ok(into_text(text))
}

pub(crate) fn into_text(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("JSON is written as UTF-8")
}

/// A refusal is an object whose `error` and `code` are texts; everything else is a reply.
fn read_reply<R: DeserializeOwned>(reply: &Payload) -> Result<R, RequestError> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
        code: String,
    }
    // serde reads a struct from a list as well.
    let is_object = reply.as_bytes().starts_with(b"{");
    if let (true, Ok(Refusal { error, code })) = (is_object, reply.to()) {
        return Err(RequestError::Refused { code, message: error });
    }
    reply.to().map_err(RequestError::Decode)
}
