//! Methods that configure an [`App`] before it is served. This file has those for handlers, states and
//! limits; `endpoints` has those for protocols and clients, `backplane` those for other nodes, and
//! `replace` those that change an app while it is served.
//!
//! This is the top of the crate: [`App::new`] makes the node and connects the higher layers to it.

mod backplane;
mod endpoints;
mod history;
mod replace;

use std::any::type_name;
use std::sync::Arc;

use switchboard_event::{ProjectId, RATE_RULES_MAX, RateRule};

use crate::api::app::App;
use crate::api::setup::Setup;
use crate::net::flusher::Flushers;
use crate::net::heartbeat::Heartbeats;
use crate::net::options::CurrentOptions;
use crate::node::limits::Limits;
use crate::node::type_map::TypeMap;
use crate::node::verifier::CurrentVerifier;
use crate::node::{Node, Settings, Wiring};
use crate::protocols::{
    ENCODERS, add_extensions, notify_extension, notify_refused, on_hub_event, on_rights_changed, seat,
};
use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::plugin::Plugin;
use crate::routing::router::Router;

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
            encoders: &ENCODERS,
            flush_scheduler: flushers.clone(),
            on_hub_event,
            on_rights_changed,
            notify_extension,
            notify_refused,
            seat,
            extensions: add_extensions(TypeMap::default().with(flushers).with(Heartbeats::default())),
        });
        // Present from the start, so that they can be replaced while the app is served.
        App::of(node, ProjectId::new("default").expect("`default` is a valid name"))
            .set(CurrentOptions::default())
            .set(CurrentVerifier::default())
    }

    fn set<T: std::any::Any + Send + Sync>(self, part: T) -> Self {
        self.change(|setup| setup.set(part))
    }

    fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        self.node().change_settings(change);
    }

    fn change(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(self.setup_mut());
        self
    }

    /// Takes the router out of the app. Callers change it and put it back. There is no method with a closure for this, because
    /// closures do not track their caller, so a panic of the router would name a line of this file and not the application's.
    fn take_router(&mut self) -> Router {
        self.setup_mut().take().unwrap_or_default()
    }

    /// Adds a handler for an event or a system event; see [`Router::on`].
    ///
    /// # Panics
    /// In the cases that [`Router::on`] names.
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
    #[track_caller]
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        let router = self.take_router().on(event, handler);
        self.set(router)
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
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        let router = self.take_router().middleware(middleware);
        self.set(router)
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
    #[track_caller]
    pub fn nest(mut self, prefix: &str, router: Router) -> Self {
        let router = self.take_router().nest(prefix, router);
        self.set(router)
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
    #[track_caller]
    pub fn merge(mut self, router: Router) -> Self {
        let router = self.take_router().merge(router);
        self.set(router)
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
    #[track_caller]
    pub fn ns(mut self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        let router = self.take_router().ns(prefix, build);
        self.set(router)
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
    #[track_caller]
    pub fn with_state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        let is_second = self.setup_mut().set_state(state);
        assert!(!is_second, "the app has two states of type {}", type_name::<T>());
        self
    }

    /// Sets the rate rules, [`Limits::rules`]: how often clients may send events. Default: none.
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::rates::{RateKey, RateRule};
    ///
    /// let app = App::new().with_rate_rules([
    ///     RateRule::new(["/message", "chat_*"], RateKey::User, "10/s")?.with_burst(20)?,
    ///     RateRule::new(["@login"], RateKey::Address, "60/min")?,
    /// ]);
    /// # assert_eq!(app.limits().rules.len(), 2);
    /// # Ok::<(), switchboard::rates::RateRuleError>(())
    /// ```
    ///
    /// # Panics
    /// If there are more than 64, or if the app is already in use.
    #[track_caller]
    pub fn with_rate_rules(self, rules: impl IntoIterator<Item = RateRule>) -> Self {
        let rules: Vec<RateRule> = rules.into_iter().collect();
        assert!(rules.len() <= RATE_RULES_MAX, "the app has more than {RATE_RULES_MAX} rate rules");
        self.change_settings(|settings| settings.limits.rules = rules);
        self
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
        self.change_settings(|settings| settings.limits = limits.effective());
        self
    }
}
