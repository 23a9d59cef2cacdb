//! The handle that handlers get for a socket.

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

/// One connected socket. Cheap to clone; holding one keeps nobody connected.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use switchboard::{App, Reply, ReplyError, Socket};
/// async fn enter(socket: Socket) -> Result<Reply<usize>, ReplyError> {
///     socket.join("#lobby")?;
///     socket.emit("welcome", "to the lobby")?;
///     Ok(Reply(socket.to("#lobby").emit("came", &socket.id())?))
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

    /// The id, new for every connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// println!("{} came", socket.id());
    /// # assert!(app.socket_exists(socket.id()).await?);
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> SocketId {
        self.session.id
    }

    /// The app, seen from the socket's project.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.app().to("*admin").emit("came", &socket.id())?;
    /// # Ok(()) }
    /// ```
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What is known of the connection.
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

    /// Sends an event to this socket and waits for its answer, at most the request time-out of the
    /// app's limits (10 s). Fails at once when the socket goes.
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

    /// [`request`](Self::request) with a time-out of its own.
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

    /// Begins a send to a room, a tag or any audience, without this socket.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.join("#lobby")?;
    /// assert_eq!(ann.to("#lobby").emit("said", "hi")?, 1); // Bob hears it, Ann does not
    /// # Ok(()) }
    /// ```
    pub fn to(&self, audience: impl IntoAudience) -> Emitter {
        Emitter::new(self.node().clone(), self.app.project_id().clone(), audience, Some(self.id()))
    }

    /// Sends to everyone but this socket. Returns how many sockets of this node have it queued.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// assert_eq!(ann.broadcast("came", "Ann")?, 1); // everyone but Ann
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    /// Comes into a room; `#` is put in front if it is missing. False if it was in already, so that
    /// callers announce it once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// if socket.join("lobby")? {
    ///     socket.to("#lobby").emit("came", &socket.id())?;
    /// }
    /// assert!(!socket.join("#lobby")?); // the same room, and it was in
    /// # Ok(()) }
    /// ```
    pub fn join(&self, room: &str) -> Result<bool, JoinError> {
        self.node().hub().join(&self.session, &Target::room(room)?)
    }

    /// Leaves a room. False if it was not in.
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

    /// Gets a tag; `*` is put in front if it is missing. False if it had it.
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

    /// Loses a tag. False if it did not have it.
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

    /// Becomes one of a user's sockets; another user it belongs to is kept. False if it was.
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

    /// Has the app's verifier check a token, and logs the socket in as the user it names, in place of
    /// the user of an earlier token. When the token expires the socket is logged out; it stays
    /// connected. A refused token changes nothing.
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

    /// The rooms it is in, each with its `#`.
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

    /// The tags it has, each with its `*`.
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

    /// The user it belongs to; of several the last it came to.
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

    /// Keeps a value under a key until the socket closes, in place of what was there.
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

    /// The value kept under a key, if it is of type `T`.
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

    /// Closes with a code (1000, or 3000 to 4999 for an app's own) and a reason of at most 123
    /// bytes; more is cut off. A code that no close frame may carry, such as 1006, is left out. What
    /// was queued before still goes out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.emit("banned", "for a day")?; // still goes out
    /// socket.close(4003, "banned");
    /// # assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn close(&self, code: u16, reason: &str) {
        self.node().close(&self.session, sendable_code(CloseCode(code)), reason);
    }

    /// Whether the socket has closed or is about to.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert!(!socket.is_closed());
    /// socket.close(1000, "bye");
    /// assert!(socket.is_closed());
    /// assert!(socket.emit("said", "too late").is_err());
    /// # Ok(()) }
    /// ```
    pub fn is_closed(&self) -> bool {
        is_closed(&self.session)
    }

    /// Sends one message as it is.
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
