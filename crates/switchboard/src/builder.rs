//! Methods that configure an [`App`] before it is served: handlers, protocols, settings, backplane.
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

impl App {
    /// Creates an app without handlers, for the project `default`.
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
        App::of(node, ProjectId::new("default").expect("`default` is a valid name"))
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

    /// Adds a handler for an event or a system event; see [`Router::on`].
    ///
    /// # Panics
    /// If the name starts with `@` and is not a system event.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use switchboard::{App, Data, Reply, ReplyError, Socket};
    ///
    /// async fn send_message(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, ReplyError> {
    ///     Ok(Reply(socket.to("#lobby").emit("message", &text)?))
    /// }
    /// let app = App::new()
    ///     .on("@connection", async |socket: Socket| println!("{} connected", socket.id()))
    ///     .on("/message", send_message);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/message", serde_json::json!("hi")).await, 0);
    /// # }
    /// ```
    pub fn on<Args: 'static>(self, event: &str, handler: impl Handler<Args>) -> Self {
        self.route(|router| router.on(event, handler))
    }

    /// Adds a middleware around every handler; see [`Router::middleware`].
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

    /// Adds the handlers of a router, with a prefix before their names; see [`Router::nest`].
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

    /// Adds the handlers of a router under their own names; see [`Router::merge`].
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

    /// Adds a namespace that `build` fills with handlers; see [`Router::ns`].
    ///
    /// ```
    /// # use switchboard::App;
    /// # async fn send_message() {}
    /// # async fn join() {}
    /// let app = App::new().ns("/chat", |chat| {
    ///     chat.on("/message", send_message).ns("/room", |room| room.on("/join", join))
    /// }); // handles /chat/message and /chat/room/join
    /// ```
    pub fn ns(self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        self.route(|router| router.ns(prefix, build))
    }

    /// Adds a plugin, a tuple of two or three plugins, or a `Vec` of plugins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use switchboard::{App, Reply, Socket};
    ///
    /// fn ping(app: App) -> App {
    ///     app.on("/ping", async || Reply("pong"))
    /// }
    /// fn greeter(app: App) -> App {
    ///     app.on("@connection", async |socket: Socket| println!("{} connected", socket.id()))
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

    /// Adds a value that handlers extract with [`State`](crate::State), at most one of each type.
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
    /// If the app already has a value of this type.
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: T) -> Self {
        self.change(|setup| {
            assert!(!setup.set_state(state), "the app has two states of type {}", type_name::<T>());
        })
    }

    /// Serves plain HTTP on the same port: requests other than WebSocket handshakes go to this router,
    /// through its tower layers.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use switchboard::App;
    ///
    /// let pages = Router::new().route("/health", get(async || "ok"));
    /// let app = App::new().with_http(pages);
    /// ```
    pub fn with_http(self, router: axum::Router) -> Self {
        self.set(router)
    }

    /// Passes every WebSocket message to `raw` instead of a protocol. For conformance suites.
    #[doc(hidden)]
    pub fn with_raw_messages(self, raw: fn(&Socket, OpCode, &[u8])) -> Self {
        self.set::<RawHandler>(raw)
    }

    /// Accepts clients of the Koji protocol, which share shards; see [`Koji`].
    ///
    /// ```
    /// use switchboard::{App, Koji};
    ///
    /// let app = App::new().with_koji(Koji::new());
    /// ```
    pub fn with_koji(self, koji: Koji) -> Self {
        self.set(koji)
    }

    /// Accepts clients of the Mesa protocol at the path of its settings, by default `/mesa`; see [`Mesa`].
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn with_mesa(self, mesa: Mesa) -> Self {
        self.set(mesa)
    }

    /// Returns the same app for a listener that accepts Mesa clients only, at any path.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use switchboard::{App, Mesa, serve};
    /// use tokio::net::TcpListener;
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// let mesa = serve(TcpListener::bind("0.0.0.0:4000").await?, app.for_mesa_only());
    /// tokio::try_join!(serve(TcpListener::bind("0.0.0.0:3000").await?, app), mesa)?;
    /// # Ok(()) }
    /// ```
    pub fn for_mesa_only(&self) -> Self {
        self.clone().change(|setup| {
            setup.set(MesaOnly);
            setup.take::<axum::Router>();
        })
    }

    /// Sets the verifier of clients' tokens. Default: none, every token is refused.
    pub fn with_verifier(self, verifier: impl Verifier) -> Self {
        self.set::<Arc<dyn Verifier>>(Arc::new(verifier))
    }

    /// Sets the origins that may connect and the proxies that are trusted. Default: any origin, no proxy.
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
    pub fn with_accept_options(self, options: AcceptOptions) -> Self {
        self.set(options)
    }

    /// Sets the limits. Default: [`Limits::default`].
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
    /// If the app is already in use. The same applies to all setters of the backplane, such as
    /// [`with_bus`](Self::with_bus).
    pub fn with_limits(self, limits: Limits) -> Self {
        self.settings(|settings| settings.limits = limits.effective());
        self
    }

    /// Sets the bus that carries messages to other nodes. Default: none, a single node.
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
    /// nodes[0].broadcast("news", "to the sockets of both nodes")?;
    /// # assert_eq!(nodes[1].hub().stats().queued.load(std::sync::atomic::Ordering::Relaxed), 1);
    /// # Ok(()) }
    /// ```
    pub fn with_bus(self, bus: Arc<dyn Bus>) -> Self {
        self.settings(|settings| settings.bus = Some(bus));
        self
    }

    /// Connects this node to others: sets the bus and the store of a backplane, and its inbox and report
    /// sink if it has them.
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
        if let Some(sink) = backplane.report_sink() {
            app = app.with_report_sink(sink);
        }
        app
    }

    /// Sets the inbox, which stores messages for offline users. Default: none, no message is stored.
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

    /// Sets the store of presence and seats, which all nodes share. Default: this node's memory.
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

    /// Sets the sink for reports of clients' actions. A report is made when a client connects,
    /// authenticates or disconnects, and when it sends an event that has no handler. Default: none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::{App, ReportSink};
    ///
    /// fn app(sink: Arc<dyn ReportSink>) -> App {
    ///     App::new().with_report_sink(sink)
    /// }
    /// ```
    pub fn with_report_sink(self, sink: Arc<dyn ReportSink>) -> Self {
        self.settings(|settings| settings.report_sink = Some(sink));
        self
    }

    /// Limits reports to clients of these protocols. Default: all protocols.
    ///
    /// ```
    /// use switchboard::{App, Protocol};
    ///
    /// let app = App::new().with_reports_of(&[Protocol::Mesa]);
    /// ```
    pub fn with_reports_of(self, protocols: &[Protocol]) -> Self {
        self.settings(|settings| settings.reported_protocols = Some(protocols.into()));
        self
    }
}
