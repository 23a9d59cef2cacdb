//! The app: what is built, what is served, and what handlers and the rest of a program send with.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use switchboard_event::{IntoAudience, Name, ProjectId, SocketId, Target};
use switchboard_hub::{Backplane, Bus, Hub, Inbox, Store};
use switchboard_ws::frame::OpCode;

use crate::core::{Core, Running, Settings};
use crate::door::DoorSettings;
use crate::handler::Handler;
use crate::identity::Verifier;
use crate::koji::Koji;
use crate::limits::Limits;
use crate::mesa::Mesa;
use crate::meters::Meters;
use crate::middleware::Middleware;
use crate::plugin::Plugin;
use crate::router::Router;
use crate::send::{EmitError, Send};
use crate::socket::Socket;

/// A real-time application: handlers by event name, and everyone who is connected.
///
/// Build it, [`serve`](crate::serve) it, and keep a clone to send with: clones are cheap and share
/// their sockets.
///
/// ```no_run
/// use switchboard::{App, Data, Reply, Socket, serve};
///
/// async fn say(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, switchboard::ReplyError> {
///     Ok(Reply(socket.to("#lobby").emit("said", &text)?))
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let app = App::new().on("/say", say);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve(listener, app).await
/// # }
/// ```
#[derive(Clone)]
pub struct App {
    setup: Arc<Setup>,
    core: Arc<Core>,
    project: ProjectId,
}

/// What an app is told before it is served.
#[derive(Clone, Default)]
pub struct Setup {
    pub(crate) router: Router,
    states: HashMap<TypeId, Arc<dyn Any + std::marker::Send + Sync>>,
    pub(crate) door: DoorSettings,
    pub(crate) http: Option<axum::Router>,
    pub(crate) raw: Option<RawHandler>,
    pub(crate) koji: Option<Koji>,
    pub(crate) mesa: Option<Mesa>,
    /// Whatever comes is for the Mesa door.
    pub(crate) mesa_only: bool,
    pub(crate) verifier: Option<Arc<dyn Verifier>>,
}

/// Takes whole messages as they came, instead of a dialect.
type RawHandler = fn(&Socket, OpCode, &[u8]);

impl Setup {
    pub(crate) fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.states.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

impl App {
    /// An app without handlers, for the project `default`.
    ///
    /// ```
    /// use switchboard::{App, Reply};
    ///
    /// let app = App::new().on("/ping", async || Reply("pong"));
    /// assert_eq!(*app.project_id(), "default");
    /// ```
    pub fn new() -> Self {
        App {
            setup: Arc::default(),
            core: Arc::default(),
            project: Name::new("default").expect("the name is neither empty nor long"),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(Arc::make_mut(&mut self.setup));
        self
    }

    fn route(self, add: impl FnOnce(Router) -> Router) -> Self {
        self.change(|setup| setup.router = add(std::mem::take(&mut setup.router)))
    }

    /// Handles an event, or a system event; see [`Router::on`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use switchboard::{App, Data, Reply, ReplyError, Socket};
    ///
    /// async fn say(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, ReplyError> {
    ///     Ok(Reply(socket.to("#lobby").emit("said", &text)?))
    /// }
    /// let app = App::new()
    ///     .on("@connection", async |socket: Socket| println!("{} came", socket.id()))
    ///     .on("/say", say);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/say", serde_json::json!("hi")).await, 0);
    /// # }
    /// ```
    pub fn on<Args: 'static>(self, event: &str, handler: impl Handler<Args>) -> Self {
        self.route(|router| router.on(event, handler))
    }

    /// Puts a middleware around every handler; see [`Router::middleware`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use switchboard::User;
    /// use switchboard::{App, IntoResponse, Middleware, Next, Reply, ReplyError, Request, Response};
    ///
    /// # async fn log(request: Request, next: Next) -> Response { next.run(request).await }
    /// # async fn whoami(User(name): User) -> Reply<String> { Reply(name.to_string()) }
    /// async fn signed_in(request: Request, next: Next) -> Response {
    ///     match request.socket().user() {
    ///         Some(_) => next.run(request).await,
    ///         None => ReplyError::unauthorized().into_response(),
    ///     }
    /// }
    /// let app = App::new().middleware(log).middleware(signed_in).on("/whoami", whoami);
    /// let same = App::new().middleware(log.and(signed_in)).on("/whoami", whoami);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/whoami", serde_json::json!({})).await["code"], "unauthorized");
    /// # }
    /// ```
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.route(|router| router.middleware(middleware))
    }

    /// Takes over a router under a prefix; see [`Router::nest`].
    ///
    /// ```
    /// use switchboard::{App, Router};
    ///
    /// # async fn step() {}
    /// let game = Router::new().on("/move", step);
    /// let app = App::new().nest("/game", game); // handles /game/move
    /// ```
    pub fn nest(self, prefix: &str, router: Router) -> Self {
        self.route(|own| own.nest(prefix, router))
    }

    /// Takes over a router as it is; see [`Router::merge`].
    ///
    /// ```
    /// use switchboard::{App, Router};
    ///
    /// # async fn join() {}
    /// # async fn step() {}
    /// let chat = Router::new().on("/join", join);
    /// let game = Router::new().on("/move", step);
    /// let app = App::new().merge(chat).merge(game); // handles /join and /move
    /// ```
    pub fn merge(self, router: Router) -> Self {
        self.route(|own| own.merge(router))
    }

    /// Builds a namespace in place; see [`Router::ns`].
    ///
    /// ```
    /// # use switchboard::App;
    /// # async fn say() {}
    /// # async fn join() {}
    /// let app = App::new().ns("/chat", |chat| {
    ///     chat.on("/say", say).ns("/room", |room| room.on("/join", join))
    /// }); // handles /chat/say and /chat/room/join
    /// ```
    pub fn ns(self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        self.route(|router| router.ns(prefix, build))
    }

    /// Adds a plugin, or several: a tuple of two or three, or a `Vec`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use switchboard::{App, Reply, Socket};
    ///
    /// fn ping(app: App) -> App {
    ///     app.on("/ping", async || Reply("pong"))
    /// }
    /// fn greeter(app: App) -> App {
    ///     app.on("@connection", async |socket: Socket| println!("{} came", socket.id()))
    /// }
    /// let app = App::new().plugin(ping);
    /// let app = App::new().plugin((ping, greeter)); // several at once
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/ping", serde_json::json!({})).await, "pong");
    /// # }
    /// ```
    pub fn plugin(self, plugin: impl Plugin) -> Self {
        plugin.install(self)
    }

    /// Gives handlers a value to take with [`State`](crate::State); one of each type.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use switchboard::{App, Reply, State};
    ///
    /// #[derive(Clone)]
    /// struct Rules {
    ///     seats: usize,
    /// }
    /// async fn seats(State(rules): State<Rules>) -> Reply<usize> {
    ///     Reply(rules.seats)
    /// }
    /// let app = App::new().with_state(Rules { seats: 4 }).on("/seats", seats);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/seats", serde_json::json!({})).await, 4);
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the app has one of this type already.
    pub fn with_state<T: Clone + std::marker::Send + Sync + 'static>(self, state: T) -> Self {
        self.change(|setup| {
            let before = setup.states.insert(TypeId::of::<T>(), Arc::new(state));
            assert!(before.is_none(), "the app was given two states of type {}", type_name::<T>());
        })
    }

    /// Answers plain HTTP on the same port: what is no WebSocket handshake goes to this router,
    /// with whatever tower layers it has.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use switchboard::App;
    ///
    /// let pages = Router::new().route("/health", get(async || "well"));
    /// let app = App::new().with_http(pages);
    /// ```
    pub fn with_http(self, router: axum::Router) -> Self {
        self.change(|setup| setup.http = Some(router))
    }

    /// Takes every message as it comes, instead of a dialect: for conformance suites.
    #[doc(hidden)]
    pub fn with_raw_messages(self, raw: fn(&Socket, OpCode, &[u8])) -> Self {
        self.change(|setup| setup.raw = Some(raw))
    }

    /// Opens the door for Koji clients: pages without a backend, put on shards.
    pub fn with_koji(self, koji: Koji) -> Self {
        self.change(|setup| setup.koji = Some(koji))
    }

    /// Opens a door for [`Mesa`] clients, at `/mesa`.
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn with_mesa(self, mesa: Mesa) -> Self {
        self.change(|setup| setup.mesa = Some(mesa))
    }

    /// The same app for a listener of which every connection is a Mesa client's, whatever its path.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use switchboard::{App, Mesa, serve};
    /// use tokio::net::TcpListener;
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// let theirs = serve(TcpListener::bind("0.0.0.0:4000").await?, app.for_mesa_only());
    /// tokio::try_join!(serve(TcpListener::bind("0.0.0.0:3000").await?, app), theirs)?;
    /// # Ok(()) }
    /// ```
    pub fn for_mesa_only(&self) -> Self {
        self.clone().change(|setup| (setup.mesa_only, setup.http) = (true, None))
    }

    /// Sets who decides whom a token names. Default none: every token is refused.
    pub fn with_verifier(self, verifier: impl Verifier) -> Self {
        self.change(|setup| setup.verifier = Some(Arc::new(verifier)))
    }

    /// Who may open a WebSocket: origins, and proxies that are believed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::{App, DoorSettings};
    ///
    /// let origins = Some(vec!["https://chat.example".to_owned()]);
    /// let app = App::new().with_door(DoorSettings { origins, ..DoorSettings::default() });
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let origin = [("origin", "https://other.example")];
    /// # assert!(switchboard_testkit::Peer::try_connect(&server.url("/"), &origin).await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn with_door(self, door: DoorSettings) -> Self {
        self.change(|setup| setup.door = door)
    }

    /// Sets the bounds.
    ///
    /// ```
    /// use switchboard::{App, Limits};
    ///
    /// let mut limits = Limits::default();
    /// limits.messages_per_s = Some(50);
    /// let app = App::new().with_limits(limits);
    /// # assert_eq!(app.limits().messages_per_s, Some(50));
    /// ```
    ///
    /// # Panics
    /// If the app is in use already; so do [`with_bus`](Self::with_bus) and
    /// [`with_store`](Self::with_store).
    pub fn with_limits(self, limits: Limits) -> Self {
        self.settings(|settings| settings.limits = limits.in_force());
        self
    }

    /// Sets what carries sends to other nodes. Default: nothing, the app is alone.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use std::sync::Arc;
    /// use switchboard::{App, LocalBus};
    ///
    /// let buses = LocalBus::connected(2);
    /// let nodes: Vec<App> =
    ///     buses.into_iter().map(|bus| App::new().with_bus(Arc::new(bus))).collect();
    /// # let (_peer, stream) = tokio::io::duplex(1024);
    /// # nodes[1].connect_stream(stream);
    /// nodes[0].broadcast("news", "sockets of both nodes hear it")?;
    /// # assert_eq!(nodes[1].hub().tally().queued.load(std::sync::atomic::Ordering::Relaxed), 1);
    /// # Ok(()) }
    /// ```
    pub fn with_bus(self, bus: Arc<dyn Bus>) -> Self {
        self.settings(|settings| settings.bus = Some(bus));
        self
    }

    /// Makes this node one of many: sets the bus, the store and, if they are there, the inbox and the
    /// portal together.
    ///
    /// ```
    /// use switchboard::{App, Backplane};
    ///
    /// // Such as `switchboard_redis::Redis::connect(Options::new("redis://…")).await?`.
    /// fn app(redis: &impl Backplane) -> App {
    ///     App::new().with_backplane(redis)
    /// }
    /// ```
    pub fn with_backplane(self, backplane: &impl Backplane) -> Self {
        let mut app = self.with_bus(backplane.bus()).with_store(backplane.store());
        if let Some(inbox) = backplane.inbox() {
            app = app.with_inbox(inbox);
        }
        if let Some(portal) = backplane.portal() {
            app = app.with_portal(portal);
        }
        app
    }

    /// Sets what keeps messages for users who are away. Default: none, and no message waits.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::{App, Inbox};
    ///
    /// fn app(inbox: Arc<dyn Inbox>) -> App {
    ///     App::new().with_inbox(inbox)
    /// }
    /// ```
    pub fn with_inbox(self, inbox: Arc<dyn Inbox>) -> Self {
        self.settings(|settings| settings.inbox = Some(inbox));
        self
    }

    /// Sets what knows of the sockets of all nodes. Default: this node's own memory.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::{App, Store};
    ///
    /// fn app(shared: Arc<dyn Store>) -> App {
    ///     App::new().with_store(shared)
    /// }
    /// ```
    pub fn with_store(self, store: Arc<dyn Store>) -> Self {
        self.settings(|settings| settings.store = Some(store));
        self
    }

    /// What keeps messages for users who are away, if anything does.
    ///
    /// ```
    /// assert!(switchboard::App::new().inbox().is_none());
    /// ```
    pub fn inbox(&self) -> Option<&Arc<dyn Inbox>> {
        Core::running(&self.core).inbox.as_ref()
    }

    pub(crate) fn settings(&self, change: impl FnOnce(&mut Settings)) {
        self.core.change_settings(change);
    }

    pub(crate) fn running(&self) -> &Running {
        Core::running(&self.core)
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Seen from a project, and without what it was told before it was served: handlers and states.
    pub(crate) fn of(core: Arc<Core>, project: ProjectId) -> App {
        App { setup: Arc::default(), core, project }
    }

    /// Whether there can be no other node.
    pub(crate) fn is_alone(&self) -> bool {
        self.running().alone
    }

    /// Whether other nodes can know what this one tells its store.
    pub(crate) fn shares_store(&self) -> bool {
        self.running().shares_store
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.running().meters
    }

    /// The bounds in force.
    ///
    /// ```
    /// # use switchboard::App;
    /// assert_eq!(App::new().limits().memberships_max, 1000);
    /// ```
    pub fn limits(&self) -> &Limits {
        &self.running().limits
    }

    /// Who is here: the core that everything above is made of.
    ///
    /// ```
    /// # use std::sync::atomic::Ordering;
    /// # let app = switchboard::App::new();
    /// let missed = app.hub().tally().dropped.load(Ordering::Relaxed);
    /// println!("slow receivers missed {missed} volatile events");
    /// ```
    pub fn hub(&self) -> &Arc<Hub> {
        &self.running().hub
    }

    /// The value given with [`with_state`](Self::with_state).
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

    /// Whether the app is stopping: new connections are refused.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let app = switchboard::App::new();
    /// assert!(!app.is_stopping());
    /// app.close().await;
    /// assert!(app.is_stopping()); // a readiness route can say so
    /// # Ok(()) }
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.core.stopping.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The same app, seen from a project: sends and questions stay in it.
    ///
    /// ```
    /// # fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::{App, ProjectId};
    ///
    /// let app = App::new();
    /// let shop = app.project(&ProjectId::new("shop")?);
    /// shop.broadcast("news", "only sockets of the shop hear it")?;
    /// # assert_eq!(*shop.project_id(), "shop");
    /// # Ok(()) }
    /// ```
    pub fn project(&self, project: &ProjectId) -> App {
        App { setup: self.setup.clone(), core: self.core.clone(), project: project.clone() }
    }

    /// The project that sends and questions are about.
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

    /// Sends to everyone. Returns how many sockets of this node have it queued.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// let heard_by = app.broadcast("news", "the server restarts at noon")?;
    /// assert_eq!(heard_by, 1);
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    /// Begins a send to a room, a tag or any audience.
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
    pub fn to(&self, audience: impl IntoAudience) -> Send {
        Send::new(self.clone(), audience, None)
    }

    /// Sends to one socket, wherever it is; nothing happens if there is none. Returns 1 if it is
    /// on this node.
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

    /// Sends to all sockets of a user. Returns how many of this node have it queued.
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

    /// The socket with that id, if it is on this node and in this project.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # let id = socket.id();
    /// if let Some(socket) = app.socket(id) {
    ///     socket.close(4001, "signed in elsewhere");
    /// }
    /// # assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        let session = self.hub().index().session(id)?;
        (session.project.id == self.project).then(|| Socket::new(self, session))
    }
}
