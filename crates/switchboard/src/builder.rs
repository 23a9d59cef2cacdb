//! Building an app: its handlers, settings and protocols, before it is served.
//!
//! This is the top of the crate: [`App::new`] makes the node and connects the higher layers to it.

use std::any::type_name;
use std::sync::Arc;

use switchboard_backplane::{Backplane, Bus, Inbox, ReportSink, Store};
use switchboard_event::{ProjectId, Protocol};
use switchboard_ws::frame::OpCode;

use crate::api::app::App;
use crate::api::setup::Setup;
use crate::api::socket::Socket;
use crate::net::flusher::Flushers;
use crate::net::heartbeat::Heartbeats;
use crate::net::options::AcceptOptions;
use crate::node::identity::Verifier;
use crate::node::limits::Limits;
use crate::node::type_map::TypeMap;
use crate::node::{Node, Settings, Wiring};
use crate::protocols::koji::options::Koji;
use crate::protocols::mesa::options::{Mesa, MesaOnly};
use crate::protocols::{CODEC, add_extensions, on_hub_event};
use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::plugin::Plugin;
use crate::routing::router::Router;
use crate::routing::server::RawHandler;

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

/// Each setter takes the app and returns it.
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
        let flushers = Arc::new(Flushers::default());
        let node = Node::new(Wiring {
            codec: &CODEC,
            schedule: flushers.clone(),
            on_hub_event,
            extensions: add_extensions(TypeMap::default().with(flushers).with(Heartbeats::default())),
        });
        App::of(node, ProjectId::new("default").expect("the name is neither empty nor long"))
    }

    fn set<T: std::any::Any + Send + Sync>(self, part: T) -> Self {
        self.change(|setup| setup.set(part))
    }

    fn settings(&self, change: impl FnOnce(&mut Settings)) {
        self.node().change_settings(change);
    }

    fn change(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(self.setup_mut());
        self
    }

    fn route(self, add: impl FnOnce(Router) -> Router) -> Self {
        self.change(|setup| {
            let router = add(setup.take().unwrap_or_default());
            setup.set::<Router>(router);
        })
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
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: T) -> Self {
        self.change(|setup| {
            assert!(!setup.set_state(state), "the app was given two states of type {}", type_name::<T>());
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
        self.set(router)
    }

    /// Takes every message as it comes, instead of a protocol: for conformance suites.
    #[doc(hidden)]
    pub fn with_raw_messages(self, raw: fn(&Socket, OpCode, &[u8])) -> Self {
        self.set::<RawHandler>(raw)
    }

    /// Opens the door for Koji clients: pages without a backend, put on shards.
    pub fn with_koji(self, koji: Koji) -> Self {
        self.set(koji)
    }

    /// Opens a door for [`Mesa`] clients, at `/mesa` unless its settings say otherwise.
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn with_mesa(self, mesa: Mesa) -> Self {
        self.set(mesa)
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
        self.clone().change(|setup| {
            setup.set(MesaOnly);
            setup.take::<axum::Router>();
        })
    }

    /// Sets who decides whom a token names. Default none: every token is refused.
    pub fn with_verifier(self, verifier: impl Verifier) -> Self {
        self.set::<Arc<dyn Verifier>>(Arc::new(verifier))
    }

    /// Who may open a WebSocket: origins, and proxies that are believed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::{App, AcceptOptions};
    ///
    /// let allowed_origins = Some(vec!["https://chat.example".to_owned()]);
    /// let app = App::new().with_accept_options(AcceptOptions { allowed_origins, ..AcceptOptions::default() });
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let origin = [("origin", "https://other.example")];
    /// # assert!(switchboard_testkit::Peer::try_connect(&server.url("/"), &origin).await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn with_accept_options(self, door: AcceptOptions) -> Self {
        self.set(door)
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
        self.settings(|settings| settings.limits = limits.effective());
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
    /// # assert_eq!(nodes[1].hub().stats().queued.load(std::sync::atomic::Ordering::Relaxed), 1);
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
        if let Some(portal) = backplane.report_sink() {
            app = app.with_report_sink(portal);
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

    /// Sets the sink for reports of clients' actions: they connect, authenticate and disconnect, and send
    /// events that no handler here handles. Default: none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::{App, ReportSink};
    ///
    /// fn app(portal: Arc<dyn ReportSink>) -> App {
    ///     App::new().with_report_sink(portal)
    /// }
    /// ```
    pub fn with_report_sink(self, portal: Arc<dyn ReportSink>) -> Self {
        self.settings(|settings| settings.report_sink = Some(portal));
        self
    }

    /// Sets the protocols whose clients are reported. Default: all.
    ///
    /// ```
    /// use switchboard::{App, Protocol};
    ///
    /// let app = App::new().with_reports_of(&[Protocol::Mesa]);
    /// ```
    pub fn with_reports_of(self, doors: &[Protocol]) -> Self {
        self.settings(|settings| settings.reported_protocols = Some(doors.into()));
        self
    }
}
