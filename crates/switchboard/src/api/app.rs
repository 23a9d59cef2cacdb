//! The app: the handle that a program builds, serves and sends with.
//!
//! This file has the accessors and the methods that send. Queries are in `presence`, actions on sockets of
//! any node in `remote`, setters in [`builder`](crate::builder), and serving and stopping in `net`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use switchboard_backplane::{Inbox, ReportSink};
use switchboard_event::{IntoAudience, ProjectId, SocketId, Target};
use switchboard_hub::Hub;

use crate::api::emitter::Emitter;
use crate::api::setup::Setup;
use crate::node::Node;
use crate::node::errors::EmitError;
use crate::node::limits::Limits;
use crate::node::verifier::{AnswersTokens, CurrentVerifier};

/// A real-time application: the handlers of events, and the connected sockets.
///
/// Build an app, pass it to [`serve`](crate::serve), and keep a clone to send with. A clone is cheap and
/// refers to the same sockets. Every app belongs to a [project](Self::project).
///
/// ```no_run
/// use switchboard::{App, Data, Reply, Socket, serve};
///
/// async fn send_message(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, switchboard::ReplyError> {
///     Ok(Reply(socket.to("#lobby").emit("message", &text)?))
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let app = App::new().on("/message", send_message);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve(listener, app).await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "the methods of an app return the changed app; serve what they return"]
pub struct App {
    setup: Arc<Setup>,
    node: Arc<Node>,
    project: ProjectId,
}

impl App {
    /// Creates the handle of a node, without handlers and states.
    pub(crate) fn of(node: Arc<Node>, project: ProjectId) -> App {
        App { setup: Arc::default(), node, project }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Returns true if the app verifies tokens of handshakes, or refuses them.
    pub(crate) fn reads_tokens(&self) -> bool {
        let verifier = self.setup().extension::<CurrentVerifier>();
        verifier.is_some_and(|verifier| verifier.get().is_some())
            || self.setup().extension::<AnswersTokens>().is_some()
    }

    pub(crate) fn setup_mut(&mut self) -> &mut Setup {
        Arc::make_mut(&mut self.setup)
    }

    /// The inbox, if the app has one.
    ///
    /// ```
    /// assert!(switchboard::App::new().inbox().is_none());
    /// ```
    pub fn inbox(&self) -> Option<&Arc<dyn Inbox>> {
        self.node.inbox()
    }

    /// The report sink, if the app has one.
    ///
    /// ```
    /// assert!(switchboard::App::new().report_sink().is_none());
    /// ```
    pub fn report_sink(&self) -> Option<&Arc<dyn ReportSink>> {
        self.node.report_sink().map(|(sink, _)| sink)
    }

    /// The limits in effect.
    ///
    /// ```
    /// # use switchboard::App;
    /// assert_eq!(App::new().limits().memberships_max, 1000);
    /// ```
    pub fn limits(&self) -> &Limits {
        self.node.limits()
    }

    /// The hub: the sessions of this node and their rooms, tags and users.
    ///
    /// ```
    /// # use std::sync::atomic::Ordering;
    /// # let app = switchboard::App::new();
    /// let dropped = app.hub().stats().dropped.volatile.load(Ordering::Relaxed);
    /// println!("{dropped} volatile events were dropped for slow receivers");
    /// ```
    pub fn hub(&self) -> &Arc<Hub> {
        self.node.hub()
    }

    /// The value of type `T` that was set with [`with_state`](Self::with_state).
    ///
    /// ```
    /// # use switchboard::App;
    /// let app = App::new().with_state("the lobby");
    /// assert_eq!(app.state(), Some("the lobby"));
    /// assert_eq!(app.state::<u64>(), None);
    /// ```
    pub fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.setup.state()
    }

    /// Returns true once the app is stopping; it then refuses new connections.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// assert!(!app.is_stopping());
    /// app.close().await;
    /// assert!(app.is_stopping()); // for a readiness route
    /// # Ok(()) }
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.node.is_stopping.load(Ordering::Relaxed)
    }

    /// Returns the app as a handle of another project, which its sends and queries are limited to.
    ///
    /// ```
    /// # fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::{App, ProjectId};
    ///
    /// let app = App::new();
    /// let shop = app.project(&ProjectId::new("shop")?);
    /// shop.broadcast("news", "to the sockets of the shop only")?;
    /// # assert_eq!(*shop.project_id(), "shop");
    /// # Ok(()) }
    /// ```
    pub fn project(&self, project: &ProjectId) -> App {
        App { setup: self.setup.clone(), node: self.node.clone(), project: project.clone() }
    }

    /// The project that sends and queries are limited to.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// assert_eq!(*app.project_id(), "default");
    /// assert_eq!(socket.app().project_id(), app.project_id());
    /// # Ok(()) }
    /// ```
    pub fn project_id(&self) -> &ProjectId {
        &self.project
    }

    /// Sends an event to all sockets. Returns the number of sockets of this node that it was queued for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// let queued = app.broadcast("news", "the server restarts at noon")?;
    /// assert_eq!(queued, 1);
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    /// Starts a message to a room, a tag or any audience; [`Emitter::emit`] sends it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.tag("*admin")?;
    /// assert_eq!(app.to("#lobby").emit("news", "the game begins")?, 1);
    /// assert_eq!(app.to(["#lobby", "*admin"]).emit("news", "the game is over")?, 2);
    /// # Ok(()) }
    /// ```
    pub fn to(&self, audience: impl IntoAudience) -> Emitter {
        Emitter::new(self.node.clone(), self.project.clone(), audience, None)
    }

    /// Sends an event to one socket, on any node. Returns 1 if the socket is on this node, else 0; it is
    /// no error if no socket has the id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// # let id = socket.id();
    /// app.emit_to(id, "invited", &json!({ "room": "#lobby" }))?;
    /// # Ok(()) }
    /// ```
    pub fn emit_to<T: Serialize + ?Sized>(
        &self,
        id: SocketId,
        event: &str,
        data: &T,
    ) -> Result<usize, EmitError> {
        self.to(id).emit(event, data)
    }

    /// Sends an event to all sockets of a user. Returns the number of sockets of this node that it was
    /// queued for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// socket.login("ann")?;
    /// assert_eq!(app.emit_to_user("ann", "mail", &json!({ "unread": 3 }))?, 1);
    /// # Ok(()) }
    /// ```
    pub fn emit_to_user<T: Serialize + ?Sized>(
        &self,
        user: &str,
        event: &str,
        data: &T,
    ) -> Result<usize, EmitError> {
        self.to(Target::user(user)?).emit(event, data)
    }
}
