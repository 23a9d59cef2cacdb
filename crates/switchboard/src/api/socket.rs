//! The handle of one connected socket.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_event::{
    DeliveryClass, Event, IntoAudience, Name, NameError, Payload, RoomName, SocketId, TagName, Target, UserId,
};
use switchboard_hub::{JoinError, Session};
use switchboard_ws::close::CloseCode;
use switchboard_ws::frame::{OpCode, encode};

use crate::api::app::App;
use crate::api::emitter::Emitter;
use crate::node::Node;
use crate::node::clock::now_ms;
use crate::node::conn::{Conn, is_closed};
use crate::node::errors::{EmitError, RequestError};
use crate::node::identity::{self, IdentifyError, Verifier};
use crate::node::inbox;
use crate::node::info::Info;
use crate::node::membership::sendable_code;
use crate::node::requests;
use crate::node::send_hooks::notify_sent;

/// A handle of one connected socket.
///
/// It is cheap to clone, and does not keep the connection open.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use switchboard::{App, Reply, ReplyError, Socket};
/// async fn enter(socket: Socket) -> Result<Reply<usize>, ReplyError> {
///     socket.join("#lobby")?;
///     socket.emit("welcome", "to the lobby")?;
///     Ok(Reply(socket.to("#lobby").emit("joined", &socket.id())?))
/// }
/// # let app = App::new().on("/enter", enter);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # peer.emit("/enter", serde_json::json!({})).await;
/// # assert_eq!(peer.next_event().await.0, "welcome");
/// # }
/// ```
#[derive(Clone)]
pub struct Socket {
    app: App,
    session: Arc<Session>,
}

impl Socket {
    pub(crate) fn new(app: &App, session: Arc<Session>) -> Self {
        Socket { app: app.project(&session.project.id), session }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        self.app.node()
    }

    pub(crate) fn conn(&self) -> &Conn {
        Conn::of(&self.session)
    }

    /// The id, unique to this connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// println!("{} connected", socket.id());
    /// # assert!(app.socket_exists(socket.id()).await?);
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> SocketId {
        self.session.id
    }

    /// The app, as a handle of the socket's project.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.app().to("*admin").emit("joined", &socket.id())?;
    /// # Ok(()) }
    /// ```
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Path, query, headers and address of the connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(socket.info().path(), "/");
    /// # Ok(()) }
    /// ```
    pub fn info(&self) -> &Info {
        &self.conn().info
    }

    /// Sends an event to this socket.
    ///
    /// # Errors
    /// If the socket has closed, the event's name is invalid, or the data cannot be serialized as JSON.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// socket.emit("moved", &json!({ "x": 3, "y": 4 }))?;
    /// socket.emit("welcome", "to the lobby")?;
    /// # Ok(()) }
    /// ```
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let event =
            Event { name: Name::new(event)?, data: Payload::of(data)?, sender: None, time_ms: now_ms() };
        let frame = (self.node().codec().event)(self.session.protocol, &event);
        if !self.node().hub().deliver_frame(&self.session, &frame, DeliveryClass::Live) {
            return Err(EmitError::Closed);
        }
        notify_sent(self.node(), self.app.project_id(), &event, &[self.id().into()], &[], false);
        Ok(())
    }

    /// Sends a request to this socket and returns its reply. Waits at most
    /// [`Limits::request_timeout`](crate::Limits::request_timeout), by default 10 s.
    ///
    /// # Errors
    /// Fails immediately if the socket closes or its protocol has no replies.
    ///
    /// ```no_run
    /// # async fn example(socket: switchboard::Socket) -> Result<(), switchboard::RequestError> {
    /// let ready: bool = socket.request("/ready?", &()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.app.limits().request_timeout, event, data).await
    }

    /// Sends a request like [`request`](Self::request), with another time-out.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(socket: switchboard::Socket) -> Result<(), switchboard::RequestError> {
    /// let rolled: u32 = socket.request_within(Duration::from_millis(500), "/roll", &6).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        let name = Name::new(event).map_err(EmitError::from)?;
        let data = Payload::of(data).map_err(EmitError::from)?;
        let reply = requests::request(self.node(), &self.session, timeout, &name, &data).await?;
        reply.to().map_err(RequestError::Decode)
    }

    /// Starts a message to a room, a tag or any audience, which excludes this socket;
    /// [`Emitter::emit`] sends it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.join("#lobby")?;
    /// assert_eq!(ann.to("#lobby").emit("message", "hi")?, 1); // to Bob only
    /// # Ok(()) }
    /// ```
    pub fn to(&self, audience: impl IntoAudience) -> Emitter {
        Emitter::new(self.node().clone(), self.app.project_id().clone(), audience, Some(self.id()))
    }

    /// Sends an event to all sockets except this one. Returns the number of sockets of this node that it
    /// was queued for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// assert_eq!(ann.broadcast("joined", "Ann")?, 1); // to Bob only
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    /// Joins a room; the prefix `#` may be omitted. Returns false if the socket was already a member, so
    /// that callers announce a join once.
    ///
    /// # Errors
    /// If the name is invalid, the socket has closed, or it is at
    /// [`Limits::memberships_max`](crate::Limits::memberships_max).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// if socket.join("lobby")? {
    ///     socket.to("#lobby").emit("joined", &socket.id())?;
    /// }
    /// assert!(!socket.join("#lobby")?); // the same room
    /// # Ok(()) }
    /// ```
    pub fn join(&self, room: &str) -> Result<bool, JoinError> {
        self.node().hub().join(&self.session, &Target::room(room)?)
    }

    /// Leaves a room. Returns false if the socket was not a member.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// assert!(socket.leave("#lobby")?);
    /// assert!(!socket.leave("#lobby")?);
    /// # Ok(()) }
    /// ```
    pub fn leave(&self, room: &str) -> Result<bool, NameError> {
        Ok(self.node().hub().leave(&self.session, &Target::room(room)?))
    }

    /// Adds a tag; the prefix `*` may be omitted. Returns false if the socket already had the tag. Fails
    /// like [`join`](Self::join).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert!(socket.tag("admin")?);
    /// assert_eq!(app.to("*admin").emit("report", "a new user")?, 1);
    /// # Ok(()) }
    /// ```
    pub fn tag(&self, tag: &str) -> Result<bool, JoinError> {
        self.node().hub().join(&self.session, &Target::tag(tag)?)
    }

    /// Removes a tag. Returns false if the socket did not have the tag.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("*muted")?;
    /// assert!(socket.untag("*muted")?);
    /// # Ok(()) }
    /// ```
    pub fn untag(&self, tag: &str) -> Result<bool, NameError> {
        Ok(self.node().hub().leave(&self.session, &Target::tag(tag)?))
    }

    /// Logs the socket in as a user, in addition to users that it is logged in as. Returns false if it was
    /// logged in as this user already. Fails like [`join`](Self::join).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert!(app.is_user_online("ann").await?);
    /// # Ok(()) }
    /// ```
    pub fn login(&self, user: &str) -> Result<bool, JoinError> {
        inbox::log_in(self.node(), &self.session, &UserId::new(user)?)
    }

    /// Verifies a token with the app's [`Verifier`] and logs the socket in as its user, in place of the user
    /// of an earlier token. When the token expires, the socket is logged out and stays connected.
    ///
    /// # Errors
    /// If the token is refused, which changes nothing, or the socket cannot be logged in.
    pub async fn identify(&self, token: &str) -> Result<UserId, IdentifyError> {
        let (identity, backlog) =
            identity::identify(self.node(), &self.session, self.verifier(), Some(token)).await?;
        identity::notify_authenticated(self.node(), &self.session, &identity.user);
        if let Some(backlog) = backlog {
            backlog.start();
        }
        Ok(identity.user)
    }

    pub(crate) fn verifier(&self) -> Option<Arc<dyn Verifier>> {
        self.app.setup().extension::<Arc<dyn Verifier>>().cloned()
    }

    /// The rooms of the socket, each with the prefix `#`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("lobby")?;
    /// assert_eq!(socket.rooms(), ["#lobby"]);
    /// # Ok(()) }
    /// ```
    pub fn rooms(&self) -> Vec<RoomName> {
        self.session.rooms()
    }

    /// The tags of the socket, each with the prefix `*`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.tag("admin")?;
    /// assert_eq!(socket.tags(), ["*admin"]);
    /// # Ok(()) }
    /// ```
    pub fn tags(&self) -> Vec<TagName> {
        self.session.tags()
    }

    /// The user that the socket is logged in as; if several, the latest.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(socket.user(), None);
    /// socket.login("ann")?;
    /// assert_eq!(socket.user().as_deref(), Some("ann"));
    /// # Ok(()) }
    /// ```
    pub fn user(&self) -> Option<UserId> {
        self.session.users().pop()
    }

    /// Stores a value under a key until the socket closes. Replaces an earlier value of the key.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.set("username", "Ann".to_owned());
    /// socket.set("score", 12_u32);
    /// # assert_eq!(socket.get("score"), Some(12_u32));
    /// # Ok(()) }
    /// ```
    pub fn set<T: Any + Send + Sync>(&self, key: &str, value: T) {
        self.conn().values().get_or_insert_default().insert(key.into(), Arc::new(value));
    }

    /// The value that is stored under a key, if it is of type `T`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.set("username", "Ann".to_owned());
    /// assert_eq!(socket.get::<String>("username").as_deref(), Some("Ann"));
    /// assert_eq!(socket.get::<u32>("username"), None); // another type
    /// # Ok(()) }
    /// ```
    pub fn get<T: Any + Clone>(&self, key: &str) -> Option<T> {
        self.conn().values().as_ref()?.get(key)?.downcast_ref::<T>().cloned()
    }

    /// Closes the socket after everything that is queued for it. An application may use code 1000 or a code
    /// from 3000 to 4999; a code that close frames cannot contain, such as 1006, is omitted. The reason is
    /// truncated to 123 bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.emit("banned", "for a day")?; // is sent before the close frame
    /// socket.close(4003, "banned");
    /// # assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn close(&self, code: u16, reason: &str) {
        self.node().close(&self.session, sendable_code(CloseCode(code)), reason);
    }

    /// Returns true if the socket has closed or is closing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert!(!socket.is_closed());
    /// socket.close(1000, "bye");
    /// assert!(socket.is_closed());
    /// assert!(socket.emit("message", "too late").is_err());
    /// # Ok(()) }
    /// ```
    pub fn is_closed(&self) -> bool {
        is_closed(&self.session)
    }

    /// Sends one WebSocket message.
    #[doc(hidden)]
    pub fn send_raw(&self, opcode: OpCode, payload: &[u8]) {
        self.node().hub().deliver_frame(&self.session, &encode(opcode, payload), DeliveryClass::Live);
    }

    pub(crate) fn reply(&self, ack: &Payload, data: &Payload) {
        requests::reply(self.node(), &self.session, ack, data);
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "socket {}", self.id())
    }
}
