//! The request: one event of a client, as middleware, hooks and handlers receive it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_backplane::{ClientMessage, ReplyAddress};
use switchboard_event::{Audience, IntoAudience, Name, NameError, Payload, PayloadError, SocketId};
use switchboard_hub::JoinError;

use crate::api::app::App;
use crate::api::emitter::Emitter;
use crate::api::socket::Socket;
use crate::node::connection_info::ConnectionInfo;
use crate::node::errors::EmitError;

/// An event of a client, with methods that reply, send and change the client's socket.
///
/// Middleware and hooks receive a `Request`. Handlers can take it too, or only the
/// [extractors](crate::FromRequest) that they need. It is cheap to clone.
///
/// ```
/// use serde_json::json;
/// use switchboard::{App, ReplyError, Request};
///
/// async fn join(request: Request) -> Result<(), ReplyError> {
///     request.set("username", request.data::<serde_json::Value>()?["username"].clone());
///     request.join("#chat")?;
///     request.to("#chat").emit("user-joined", &json!({ "id": request.id() }))?;
///     request.reply(&json!({ "joined": true }))?;
///     Ok(())
/// }
/// let app = App::new().on("/join", join);
/// ```
#[derive(Clone)]
pub struct Request(Arc<Inner>);

struct Inner {
    socket: Socket,
    event: Name,
    data: Payload,
    ack: Option<Payload>,
    has_replied: AtomicBool,
    fields: ProtocolFields,
}

static NO_DATA: Payload = Payload::EMPTY;

/// Fields of an event beside its name and data that some protocols have.
#[derive(Default)]
pub(crate) struct ProtocolFields {
    /// The recipients that the client named.
    pub(crate) audience: Option<Audience>,
    /// The operation; 0 on protocols without one.
    pub(crate) op: i64,
    /// The client sent no type; the event's name is made of the operation.
    pub(crate) is_untyped: bool,
    /// The data is falsy in JavaScript, and the protocol presents such data as `{}`.
    pub(crate) has_falsy_data: bool,
}

impl Request {
    pub(crate) fn new(socket: Socket, event: Name, data: Payload, ack: Option<Payload>) -> Self {
        Request::with_fields(socket, event, data, ack, ProtocolFields::default())
    }

    pub(crate) fn with_fields(
        socket: Socket,
        event: Name,
        data: Payload,
        ack: Option<Payload>,
        fields: ProtocolFields,
    ) -> Self {
        Request(Arc::new(Inner { socket, event, data, ack, has_replied: AtomicBool::new(false), fields }))
    }

    /// The message as it is reported to other processes.
    pub(crate) fn to_report(&self, reply_to: Option<ReplyAddress>) -> ClientMessage {
        let kind = (!self.0.fields.is_untyped).then(|| self.0.event.clone());
        ClientMessage { op: self.0.fields.op, kind, data: self.payload().clone(), reply_to }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.0.event
    }

    /// The recipients that the client named.
    pub(crate) fn audience(&self) -> Option<&Audience> {
        self.0.fields.audience.as_ref()
    }

    /// The event's name, such as `/message`.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// assert_eq!(request.event(), "/message");
    /// # Ok(()) }
    /// ```
    pub fn event(&self) -> &str {
        &self.0.event
    }

    /// Deserializes the event's data as `T`.
    ///
    /// Data of an emit client that is falsy in JavaScript (`0`, `false`, `""`, `null`, or none) is `{}`, as in
    /// emit.gg. If `{}` does not match `T`, the value that the client sent is tried, and `null` if it sent none.
    ///
    /// # Errors
    /// If the data does not match `T`. The error is about the value that the client sent.
    ///
    /// ```
    /// # async fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// #[derive(serde::Deserialize)]
    /// struct Line {
    ///     text: String,
    /// }
    /// let line: Line = request.data()?;
    /// # assert_eq!(line.text, "hi");
    /// # request.reply(&"done")?; Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = switchboard::App::new().on("/message", example);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # assert_eq!(server.peer().await.request("/message", serde_json::json!({ "text": "hi" })).await, "done");
    /// # }
    /// ```
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        if self.0.fields.has_falsy_data {
            return NO_DATA.to().or_else(|_| self.0.data.to());
        }
        self.0.data.to()
    }

    /// The event's data as JSON, unparsed; `{}` if an emit client sent a value that is falsy in JavaScript.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// // Forwards the data without parsing it.
    /// request.to("#lobby").emit_payload("message", request.payload().clone())?;
    /// # Ok(()) }
    /// ```
    pub fn payload(&self) -> &Payload {
        if self.0.fields.has_falsy_data { &NO_DATA } else { &self.0.data }
    }

    /// Returns true if the client waits for a reply.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// # let report = || "done";
    /// if request.wants_reply() {
    ///     request.reply(&report())?; // computed only if needed
    /// }
    /// # Ok(()) }
    /// ```
    pub fn wants_reply(&self) -> bool {
        self.0.ack.is_some()
    }

    /// The id of the socket that sent the event.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.broadcast("joined", &request.id())?;
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> SocketId {
        self.0.socket.id()
    }

    /// The socket that sent the event.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// let user = request.socket().user();
    /// assert!(!request.socket().is_closed());
    /// # Ok(()) }
    /// ```
    pub fn socket(&self) -> &Socket {
        &self.0.socket
    }

    /// The app, as a handle of the socket's project.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.app().to("*admin").emit("report", request.payload())?;
    /// # Ok(()) }
    /// ```
    pub fn app(&self) -> &App {
        self.0.socket.app()
    }

    /// Path, query, headers and address of the connection.
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// let room = request.info().query("room").unwrap_or("lobby".into());
    /// request.join(&room)?;
    /// # Ok(()) }
    /// ```
    pub fn info(&self) -> &ConnectionInfo {
        self.0.socket.info()
    }

    /// Sends a reply before the handler returns. If several replies are sent, clients use the first. Sends
    /// nothing if the client does not wait for a reply.
    ///
    /// ```
    /// # async fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// # use serde_json::json;
    /// request.reply(&json!({ "joined": true }))?;
    /// request.broadcast("joined", &request.id())?; // after the reply
    /// # Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = switchboard::App::new().on("/message", example);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/message", serde_json::json!("hi")).await["joined"], true);
    /// # }
    /// ```
    pub fn reply<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), EmitError> {
        let payload = Payload::of(data)?;
        self.reply_payload(&payload);
        Ok(())
    }

    pub(crate) fn reply_payload(&self, payload: &Payload) {
        if let Some(ack) = &self.0.ack {
            self.0.has_replied.store(true, Ordering::Relaxed);
            self.0.socket.reply(ack, payload);
        }
    }

    /// Returns true if a reply was sent.
    pub(crate) fn has_replied(&self) -> bool {
        self.0.has_replied.load(Ordering::Relaxed)
    }

    /// Sends an event to the socket that sent this one; see [`Socket::emit`].
    ///
    /// ```
    /// # async fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.emit("welcome", "to the lobby")?;
    /// # Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = switchboard::App::new().on("/message", example);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # peer.emit("/message", serde_json::json!("hi")).await;
    /// # assert_eq!(peer.next_event().await.0, "welcome");
    /// # }
    /// ```
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        self.0.socket.emit(event, data)
    }

    /// Sends an event to all other sockets; see [`Socket::broadcast`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// let queued = request.broadcast("message", request.payload())?;
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.0.socket.broadcast(event, data)
    }

    /// Starts a message to a room, a tag or any audience, which excludes the sender; see [`Socket::to`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// let text: String = request.data()?;
    /// request.to("#lobby").except("*muted").emit("message", &text)?;
    /// # Ok(()) }
    /// ```
    pub fn to(&self, audience: impl IntoAudience) -> Emitter {
        self.0.socket.to(audience)
    }

    /// Joins a room; see [`Socket::join`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// if request.join("#lobby")? {
    ///     request.to("#lobby").emit("joined", &request.id())?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn join(&self, room: &str) -> Result<bool, JoinError> {
        self.0.socket.join(room)
    }

    /// Returns true if the socket is in a room; see [`Socket::is_in`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// # use switchboard::ReplyError;
    /// if !request.is_in("#lobby") {
    ///     return Err(ReplyError::new("not_in_room", "join the lobby first"));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_in(&self, room: &str) -> bool {
        self.0.socket.is_in(room)
    }

    /// Leaves a room; see [`Socket::leave`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// if request.leave("#lobby")? {
    ///     request.to("#lobby").emit("left", &request.id())?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn leave(&self, room: &str) -> Result<bool, NameError> {
        self.0.socket.leave(room)
    }

    /// Adds a tag; see [`Socket::tag`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.tag("*admin")?;
    /// # Ok(()) }
    /// ```
    pub fn tag(&self, tag: &str) -> Result<bool, JoinError> {
        self.0.socket.tag(tag)
    }

    /// Removes a tag; see [`Socket::untag`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.untag("*admin")?;
    /// # Ok(()) }
    /// ```
    pub fn untag(&self, tag: &str) -> Result<bool, NameError> {
        self.0.socket.untag(tag)
    }

    /// Stores a value with the socket; see [`Socket::set`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// request.set("username", request.data::<String>()?);
    /// # Ok(()) }
    /// ```
    pub fn set<T: Any + Send + Sync>(&self, key: &str, value: T) {
        self.0.socket.set(key, value);
    }

    /// A value that is stored with the socket; see [`Socket::get`].
    ///
    /// ```no_run
    /// # fn example(request: switchboard::Request) -> Result<(), switchboard::ReplyError> {
    /// # use switchboard::ReplyError;
    /// let username: String = request.get("username").ok_or_else(ReplyError::unauthorized)?;
    /// # Ok(()) }
    /// ```
    pub fn get<T: Any + Clone>(&self, key: &str) -> Option<T> {
        self.0.socket.get(key)
    }
}
