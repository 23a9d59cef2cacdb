//! The handle of one connected socket.

mod membership;
mod messages;
mod resume;
mod rights;

use std::any::Any;
use std::sync::Arc;

use switchboard_event::{Protocol, SocketId};
use switchboard_hub::Session;
use switchboard_ws::close::CloseCode;

use crate::api::app::App;
use crate::node::Node;
use crate::node::commands::sendable_code;
use crate::node::connection_info::ConnectionInfo;
use crate::node::connection_state::{ConnectionState, is_closed};

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

    pub(crate) fn connection_state(&self) -> &ConnectionState {
        ConnectionState::of(&self.session)
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

    /// The client's protocol.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(socket.protocol(), switchboard::Protocol::Emit);
    /// # Ok(()) }
    /// ```
    pub fn protocol(&self) -> Protocol {
        self.session.protocol
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
    pub fn info(&self) -> &ConnectionInfo {
        &self.connection_state().info
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
        self.connection_state().set_value(key, Arc::new(value));
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
        self.connection_state().value(key)?.downcast_ref::<T>().cloned()
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
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "socket {}", self.id())
    }
}
