//! The public handle of a client.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_event::Payload;
use tokio::sync::{mpsc, watch};

use crate::error::{ConnectError, EmitError, NO_HANDLER, RequestError};
use crate::listeners::{ReplyFuture, Subscription};
use crate::options::Options;
use crate::shared::{Command, Shared};
use crate::{driver, encode};

/// A connection to a server. Clones share it; dropping the last one closes it as [`close`](Self::close) does.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// Starts the close time-out at once, ahead of the frames that wait to be sent.
    closing: watch::Sender<bool>,
}

impl Client {
    /// Connects with the default [`Options`].
    pub async fn connect(address: &str) -> Result<Self, ConnectError> {
        Client::connect_with(address, Options::default()).await
    }

    /// Connects. Fails if the first connection does not open; retries apply to later connections only.
    pub async fn connect_with(address: &str, options: Options) -> Result<Self, ConnectError> {
        let closing = watch::Sender::new(false);
        let (shared, commands) = driver::start(address, options, closing.subscribe()).await?;
        Ok(Client { shared, commands, closing })
    }

    /// Sends an event. Waits while too many frames wait to be sent. Without a connection the event is queued, if
    /// the options enable the offline queue.
    pub async fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let text = encode::event(event, data)?;
        let Some(text) = self.shared.queue_if_disconnected(text)? else { return Ok(()) };
        self.commands.send(Command::Send(text)).await.map_err(|_| EmitError::Disconnected)
    }

    /// Sends an event without waiting, for use in listeners. Fails with [`EmitError::Busy`] instead.
    pub fn try_emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let text = encode::event(event, data)?;
        let Some(text) = self.shared.queue_if_disconnected(text)? else { return Ok(()) };
        self.commands.try_send(Command::Send(text)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => EmitError::Disconnected,
        })
    }

    /// Sends a request and waits for the reply, at most the request time-out of the options (10 s). A lost
    /// connection fails it at once. If the server has no handler for the event, the error is
    /// [`Refused`](RequestError::Refused) with the code [`NO_HANDLER`].
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.shared.options.request_timeout, event, data).await
    }

    /// [`request`](Self::request) with another time-out.
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.exchange(timeout, event, data, false).await
    }

    /// [`request`](Self::request) that may be handled twice: if the connection is lost before the reply, it is sent again after
    /// the reconnect, within the same time-out. A client that does not reconnect fails it at once.
    pub async fn request_idempotent<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.exchange(self.shared.options.request_timeout, event, data, true).await
    }

    async fn exchange<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
        is_idempotent: bool,
    ) -> Result<R, RequestError> {
        let data = encode::payload(data).map_err(EmitError::from)?;
        let (id, reply) = self.shared.pending.register();
        let _guard = RemoveOnDrop { shared: &self.shared, id };
        // Checked after the registration, so that a connection lost from here on fails the request.
        if !self.connected() {
            return Err(EmitError::Disconnected.into());
        }
        let text = encode::request(event, &data, id);
        if is_idempotent {
            self.shared.pending.repeat(id, &text);
        }
        let exchange = async {
            let sent = self.commands.send(Command::Send(text)).await;
            sent.map_err(|_| RequestError::Disconnected)?;
            reply.await.map_err(|_| RequestError::Disconnected)
        };
        let reply =
            tokio::time::timeout(timeout, exchange).await.map_err(|_| RequestError::Timeout(timeout))??;
        read_reply(&reply)
    }

    /// Calls `listener` for every event of this name, or for a system event:
    ///
    /// | event | when | data |
    /// |---|---|---|
    /// | `@connection` | the client has reconnected | `{}` |
    /// | `@reconnect` | the client has reconnected | `{"attempt":n}` |
    /// | `@disconnect` | the connection has ended | `{"code":n,"reason":text}`; 1006 without a close frame |
    /// | `@error` | a frame was invalid, a reconnect failed, a listener or handler panicked | `{"error":text}` |
    /// | `@any` | any event, before its own listeners | `{"event":name,"data":…}` |
    ///
    /// Listeners are called one after the other, in the order of the frames, and must not block.
    pub fn on(&self, event: &str, listener: impl Fn(Payload) + Send + Sync + 'static) -> Subscription {
        self.shared.listeners.add(event, Arc::new(listener))
    }

    /// [`on`](Self::on) with data of type `T`. Data that does not match is reported to `@error`.
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

    /// Removes all listeners of an event.
    pub fn off(&self, event: &str) {
        self.shared.listeners.remove(event, None);
    }

    /// Sets the handler for the server's requests of this name, replacing a previous one. Handlers run
    /// concurrently, at most 256. With `None` the request gets no reply and times out at the server. The same
    /// happens when the handler panics or 256 others are running; both are reported to `@error`.
    pub fn handle<R, Fut>(&self, event: &str, handler: impl Fn(Payload) -> Fut + Send + Sync + 'static)
    where
        Fut: Future<Output = Option<R>> + Send + 'static,
        R: Serialize,
    {
        let handler = move |data| -> ReplyFuture {
            let reply = handler(data);
            Box::pin(async move { reply.await.map(|reply| encode::payload(&reply)) })
        };
        self.shared.listeners.set_handler(event, Arc::new(handler));
    }

    /// A view of the events with a common name prefix.
    pub fn ns(&self, prefix: &str) -> Namespace {
        Namespace { client: self.clone(), prefix: prefix.into() }
    }

    /// Whether the connection is open.
    pub fn connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// Waits until the connection has ended for good.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Closes with code 1000 after all frames sent before, and waits for the server's close frame. After the close
    /// time-out of the options (5 s) the connection is dropped, together with unsent frames.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let _ = self.commands.send(Command::Close).await;
        self.ended().await;
    }
}

/// Events with a common name prefix; see [`Client::ns`].
#[derive(Clone)]
pub struct Namespace {
    client: Client,
    prefix: String,
}

impl Namespace {
    fn name(&self, event: &str) -> String {
        format!("{}{event}", self.prefix)
    }

    /// [`Client::emit`] with the prefix.
    pub async fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        self.client.emit(&self.name(event), data).await
    }

    /// [`Client::request`] with the prefix.
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.client.request(&self.name(event), data).await
    }

    /// [`Client::on`] with the prefix.
    pub fn on(&self, event: &str, listener: impl Fn(Payload) + Send + Sync + 'static) -> Subscription {
        self.client.on(&self.name(event), listener)
    }

    /// [`Client::off`] with the prefix.
    pub fn off(&self, event: &str) {
        self.client.off(&self.name(event));
    }

    /// A nested namespace.
    pub fn ns(&self, prefix: &str) -> Namespace {
        self.client.ns(&self.name(prefix))
    }
}

/// Removes a pending request when its future completes or is dropped.
struct RemoveOnDrop<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.pending.remove(self.id);
    }
}

/// Decodes a reply. An object with the texts `error` and `code` is an error of the server.
fn read_reply<R: DeserializeOwned>(reply: &Payload) -> Result<R, RequestError> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
        code: String,
    }
    if let Some(message) = no_handler(reply) {
        return Err(RequestError::Refused { code: NO_HANDLER.to_owned(), message });
    }
    // serde would also deserialize the struct from an array.
    if let (true, Ok(Refusal { error, code })) = (reply.is_object(), reply.to()) {
        return Err(RequestError::Refused { code, message: error });
    }
    reply.to().map_err(RequestError::Decode)
}

/// Returns the text of the reply to an event that has no handler. It is the original server's and has no code.
fn no_handler(reply: &Payload) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OnlyError {
        error: String,
    }
    let OnlyError { error } = reply.is_object().then(|| reply.to().ok())??;
    error.starts_with("No handler for: ").then_some(error)
}
