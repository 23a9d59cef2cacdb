//! Which handler an event's name leads to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::setup::Setup;
use crate::node::system_events::{SystemEvent, system_event_names};
use crate::routing::handler::{AnyHandler, Handler, ResponseFuture};
use crate::routing::hooks::Hooks;
use crate::routing::middleware::{Middleware, Next};
use crate::routing::reply::Response;
use crate::routing::request::Request;

/// Handlers by event name, with the middleware around them.
///
/// Routers are built apart and put together: [`nest`](Self::nest) puts a prefix in front of every
/// name, [`merge`](Self::merge) does not. An [`App`](crate::App) is built the same way.
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
pub struct Router {
    routes: Vec<Route>,
    middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) hooks: Hooks,
}

#[derive(Clone)]
struct Route {
    event: String,
    /// Of the routers it was nested in, outermost first.
    middleware: Vec<Arc<dyn Middleware>>,
    handler: AnyHandler,
}

impl Router {
    /// A router that handles nothing yet.
    ///
    /// ```
    /// use switchboard::{Reply, Router};
    ///
    /// let router = Router::new().on("/ping", async || Reply("pong"));
    /// ```
    pub fn new() -> Self {
        Router::default()
    }

    /// Handles an event, or one of the system events, which may have many handlers:
    #[doc = concat!(system_event_names!(), ".")]
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use serde_json::Value;
    /// use switchboard::{Data, Reply, Request, Router, Socket};
    ///
    /// async fn came(socket: Socket) {
    ///     socket.set("username", "a guest".to_owned());
    /// }
    /// async fn went(socket: Socket, Data(why): Data<Value>) {
    ///     println!("{} went with {}: {}", socket.id(), why["code"], why["reason"]);
    /// }
    /// async fn failed(Data(what): Data<Value>) {
    ///     println!("{} failed with {}: {}", what["event"], what["code"], what["error"]);
    /// }
    /// let router = Router::new()
    ///     .on("/whoami", async |request: Request| Reply(request.get::<String>("username")))
    ///     .on("@connection", came)
    ///     .on("@disconnect", went)
    ///     .on("@error", failed)
    ///     .on("@any", async |request: Request| println!("{} {}", request.id(), request.event()))
    ///     .on("@ping", async |socket: Socket| println!("{} is pinged", socket.id()));
    /// # let app = switchboard::App::new().merge(router);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/whoami", serde_json::json!({})).await, "a guest");
    /// # }
    /// ```
    ///
    /// # Panics
    /// At start, if an event has two handlers. At once, if the name starts with `@` and is not a
    /// system event.
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        let handler = AnyHandler::new(handler);
        if event.starts_with('@') {
            self.hooks.add(event, handler);
        } else {
            self.routes.push(Route { event: event.into(), middleware: Vec::new(), handler });
        }
        self
    }

    /// Puts a middleware around every handler of this router and of those nested in it, wherever
    /// it is added. The first added is the outermost.
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

    /// Takes over a router's handlers with `prefix` in front of their names.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// # async fn step() {}
    /// let lobby = Router::new().on("/join", join);
    /// let game = Router::new().on("/move", step).nest("/lobby", lobby); // /move and /lobby/join
    /// ```
    pub fn nest(mut self, prefix: &str, inner: Router) -> Self {
        for mut route in inner.routes {
            route.event.insert_str(0, prefix);
            route.middleware.splice(0..0, inner.middleware.iter().cloned());
            self.routes.push(route);
        }
        self.hooks.extend(inner.hooks);
        self
    }

    /// Takes over a router's handlers as they are.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// # async fn step() {}
    /// let router = Router::new().on("/move", step).merge(Router::new().on("/join", join));
    /// ```
    pub fn merge(self, other: Router) -> Self {
        self.nest("", other)
    }

    /// Builds a namespace in place: [`nest`](Self::nest) with a router made by `build`.
    ///
    /// ```
    /// # use switchboard::Router;
    /// # async fn join() {}
    /// let game = Router::new().ns("/lobby", |lobby| lobby.on("/join", join)); // /lobby/join
    /// ```
    pub fn ns(self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        self.nest(prefix, build(Router::new()))
    }

    /// The routes as they are looked up, with `fallback` for events of other names. Says what is
    /// wrong with them.
    pub(crate) fn freeze(&self, setup: &Setup, fallback: AnyHandler) -> Result<Routes, String> {
        let any = self.hooks.of(SystemEvent::Any);
        let any: Option<Arc<dyn Middleware>> = (!any.is_empty()).then(|| Arc::new(Any(any.to_vec())) as _);
        let around = |inner: &[Arc<dyn Middleware>]| -> Arc<[Arc<dyn Middleware>]> {
            self.middleware.iter().chain(&any).chain(inner).cloned().collect()
        };
        let mut table = HashMap::new();
        for route in &self.routes {
            route
                .handler
                .check(setup)
                .map_err(|missing| format!("the handler of `{}` {missing}", route.event))?;
            let entry = Chain { middleware: around(&route.middleware), handler: route.handler.clone() };
            if table.insert(route.event.clone(), entry).is_some() {
                return Err(format!("`{}` has two handlers", route.event));
            }
        }
        self.hooks.check(setup)?;
        let fallback = Chain { middleware: around(&[]), handler: fallback };
        Ok(Routes { table, fallback, hooks: self.hooks.clone() })
    }
}

/// The frozen routes of an app.
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
    /// Whether there is nothing but the fallback.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.fallback.middleware.is_empty()
    }

    /// Starts what handles the request's event.
    pub(crate) fn call(&self, request: Request) -> ResponseFuture {
        let chain = self.table.get(request.event()).unwrap_or(&self.fallback);
        if chain.middleware.is_empty() {
            return chain.handler.call(request);
        }
        Next::new(chain.middleware.clone(), chain.handler.clone()).run(request)
    }
}

/// The answer to events that nothing handles.
pub(crate) async fn unknown_event(request: Request) -> Response {
    request.app().node().meters().unknown_events.increment(1);
    Response::unknown_event(request.event())
}

/// Runs the `@any` hooks before the way goes on.
struct Any(Vec<AnyHandler>);

impl Middleware for Any {
    fn handle(&self, request: Request, next: Next) -> ResponseFuture {
        let hooks = self.0.clone();
        Box::pin(async move {
            for hook in hooks {
                if let Some(error) = hook.call(request.clone()).await.error {
                    tracing::error!(event = "@any", %error, "a hook failed");
                }
            }
            next.run(request).await
        })
    }
}
