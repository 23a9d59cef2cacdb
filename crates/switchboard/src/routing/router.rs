//! The router: maps event names to handlers and their middleware.

use std::panic::Location;
use std::sync::Arc;

use hashbrown::HashMap;
use indexmap::IndexMap;
use switchboard_event::NAME_BYTES_MAX;
use switchboard_log::{limited, printable};

use crate::api::setup::Setup;
use crate::node::system_events::{SystemEvent, system_event_names};
use crate::routing::handler::{AnyHandler, Handler, ResponseFuture};
use crate::routing::hooks::Hooks;
use crate::routing::middleware::{Middleware, Next};
use crate::routing::reply::Response;
use crate::routing::request::Request;

/// Most characters of an event's name that a panic repeats.
const SHOWN_CHARS: usize = 64;

/// A set of handlers by event name, with the middleware around them.
///
/// Routers are combined with [`nest`](Self::nest), which adds a prefix to every name, and
/// [`merge`](Self::merge), which does not. An [`App`](crate::App) has the same methods.
///
/// ```
/// use switchboard::{App, Router};
///
/// async fn join() {}
/// async fn step() {}
///
/// let lobby = Router::new().on("/join", join);
/// let game = Router::new().on("/move", step).nest("/lobby", lobby);
/// let app = App::new().nest("/game", game); // handles /game/move and /game/lobby/join
/// ```
#[derive(Clone, Default)]
#[must_use = "the methods of a router return the changed router; use what they return"]
pub struct Router {
    /// By event name.
    routes: IndexMap<String, Route>,
    middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) hooks: Hooks,
}

#[derive(Clone)]
struct Route {
    /// Where the application called `on`.
    added_at: &'static Location<'static>,
    /// Middleware of the routers that contained this route, outermost first.
    middleware: Vec<Arc<dyn Middleware>>,
    handler: AnyHandler,
}

impl Router {
    /// Creates a router without handlers.
    ///
    /// ```
    /// use switchboard::{Reply, Router};
    ///
    /// let router = Router::new().on("/ping", async || Reply("pong"));
    /// ```
    pub fn new() -> Self {
        Router::default()
    }

    /// Adds a handler of an event. A system event may have many handlers; the system events are
    #[doc = concat!(system_event_names!(), ".")]
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use serde_json::Value;
    /// use switchboard::{Data, Reply, Request, Router, Socket};
    ///
    /// async fn connected(socket: Socket) {
    ///     socket.set("username", "a guest".to_owned());
    /// }
    /// async fn disconnected(socket: Socket, Data(close): Data<Value>) {
    ///     println!("{} closed with {}: {}", socket.id(), close["code"], close["reason"]);
    /// }
    /// async fn failed(Data(error): Data<Value>) {
    ///     println!("{} failed with {}: {}", error["event"], error["code"], error["error"]);
    /// }
    /// let router = Router::new()
    ///     .on("/whoami", async |request: Request| Reply(request.get::<String>("username")))
    ///     .on("@connection", connected)
    ///     .on("@disconnect", disconnected)
    ///     .on("@error", failed)
    ///     .on("@any", async |request: Request| println!("{} {}", request.id(), request.event()))
    ///     .on("@ping", async |socket: Socket| println!("ping to {}", socket.id()));
    /// # let app = switchboard::App::new().merge(router);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/whoami", serde_json::json!({})).await, "a guest");
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the name is empty, has more than 256 bytes, starts with `@` and is not a system event, or has a handler
    /// already and is not a system event. [`nest`](Self::nest), [`merge`](Self::merge) and [`ns`](Self::ns) panic
    /// in the same cases. Serving the app panics if a state that a handler takes is missing.
    #[track_caller]
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        let handler = AnyHandler::new(handler);
        if event.starts_with('@') {
            self.hooks.add(event, handler);
        } else {
            self.add(event.into(), Route { added_at: Location::caller(), middleware: Vec::new(), handler });
        }
        self
    }

    /// Adds a route, or panics if no client can send the event or it has a handler already.
    #[track_caller]
    fn add(&mut self, event: String, route: Route) {
        let shown: String = event.chars().take(SHOWN_CHARS).collect();
        match event.len() {
            0 => panic!("the name of an event is empty; a name has 1 to {NAME_BYTES_MAX} bytes"),
            len if len > NAME_BYTES_MAX => {
                panic!(
                    "the name of the event `{shown}…` has {len} bytes; a name has 1 to {NAME_BYTES_MAX} bytes"
                )
            }
            _ if event.starts_with('@') => {
                panic!(
                    "no client can send the event `{shown}`: names that begin with `@` are for system events"
                )
            }
            _ => {}
        }
        if let Some(earlier) = self.routes.get(&event) {
            panic!("`{shown}` has two handlers; the other one was added at {}", earlier.added_at);
        }
        self.routes.insert(event, route);
    }

    /// Adds a middleware around every handler of this router and of its nested routers, including handlers
    /// that are added later. The middleware that was added first is the outermost.
    ///
    /// ```
    /// use switchboard::{Next, Request, Response, Router};
    ///
    /// # async fn step() {}
    /// async fn timed(request: Request, next: Next) -> Response {
    ///     let (event, started) = (request.event().to_owned(), std::time::Instant::now());
    ///     let response = next.run(request).await;
    ///     println!("{event} took {:?}", started.elapsed());
    ///     response
    /// }
    /// let game = Router::new().on("/move", step).middleware(timed);
    /// ```
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Adds the handlers of another router, with `prefix` before their names.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// # async fn step() {}
    /// let lobby = Router::new().on("/join", join);
    /// let game = Router::new().on("/move", step).nest("/lobby", lobby); // /move and /lobby/join
    /// ```
    #[track_caller]
    pub fn nest(mut self, prefix: &str, inner: Router) -> Self {
        for (event, mut route) in inner.routes {
            route.middleware.splice(0..0, inner.middleware.iter().cloned());
            self.add(format!("{prefix}{event}"), route);
        }
        self.hooks.extend(inner.hooks);
        self
    }

    /// Adds the handlers of another router under their own names.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// # async fn step() {}
    /// let router = Router::new().on("/move", step).merge(Router::new().on("/join", join));
    /// ```
    #[track_caller]
    pub fn merge(self, other: Router) -> Self {
        self.nest("", other)
    }

    /// Adds a namespace: [`nest`](Self::nest) with a router that `build` fills with handlers.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// let game = Router::new().ns("/lobby", |lobby| lobby.on("/join", join)); // /lobby/join
    /// ```
    #[track_caller]
    pub fn ns(self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        self.nest(prefix, build(Router::new()))
    }

    /// Builds the lookup table, with `fallback` for unknown events. The error names an invalid route.
    pub(crate) fn freeze(&self, setup: &Setup, fallback: AnyHandler) -> Result<Routes, String> {
        let any = self.hooks.of(SystemEvent::Any);
        let any: Option<Arc<dyn Middleware>> =
            (!any.is_empty()).then(|| Arc::new(AnyHooks(any.to_vec())) as _);
        let chain_of = |inner: &[Arc<dyn Middleware>]| -> Arc<[Arc<dyn Middleware>]> {
            self.middleware.iter().chain(&any).chain(inner).cloned().collect()
        };
        let mut table = HashMap::with_capacity(self.routes.len());
        for (event, Route { added_at, middleware, handler }) in &self.routes {
            handler
                .check(setup)
                .map_err(|error| format!("the handler of `{event}`, added at {added_at}, {error}"))?;
            let chain = Chain { middleware: chain_of(middleware), handler: handler.clone() };
            table.insert(event.clone(), chain);
        }
        self.hooks.check(setup)?;
        let fallback = Chain { middleware: chain_of(&[]), handler: fallback };
        Ok(Routes { table, fallback, hooks: self.hooks.clone() })
    }
}

/// The lookup table of an app's routes.
pub(crate) struct Routes {
    table: HashMap<String, Chain>,
    fallback: Chain,
    pub(crate) hooks: Hooks,
}

struct Chain {
    middleware: Arc<[Arc<dyn Middleware>]>,
    handler: AnyHandler,
}

impl Routes {
    /// Returns true if there is only the fallback, without middleware.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.fallback.middleware.is_empty()
    }

    /// Starts the middleware and handler of the request's event.
    pub(crate) fn call(&self, request: Request) -> ResponseFuture {
        let chain = self.table.get(request.event()).unwrap_or(&self.fallback);
        if chain.middleware.is_empty() {
            return chain.handler.call(request);
        }
        Next::new(chain.middleware.clone(), chain.handler.clone()).run(request)
    }
}

/// Replies to an event that has no handler.
pub(crate) async fn unknown_event(request: Request) -> Response {
    request.app().node().meters().of(request.socket().session().protocol).unhandled_events.increment(1);
    Response::unknown_event(request.event())
}

/// Runs the `@any` hooks before the inner middleware and the handler.
struct AnyHooks(Vec<AnyHandler>);

impl Middleware for AnyHooks {
    fn handle(&self, request: Request, next: Next) -> ResponseFuture {
        let hooks = self.0.clone();
        Box::pin(async move {
            for hook in hooks {
                if let Some(error) = hook.call(request.clone()).await.error {
                    limited!(ERROR, event = "@any", error = printable(&error), "hook failed");
                }
            }
            next.run(request).await
        })
    }
}
