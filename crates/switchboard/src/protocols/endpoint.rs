//! An endpoint for the clients of one protocol: its settings, and handlers of its own.

use std::sync::Arc;

use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::router::Router;

/// The endpoint of a protocol whose settings are `S`: [`Koji`](crate::Koji) or
/// [`Mesa`](crate::Mesa).
#[derive(Clone)]
pub struct Endpoint<S> {
    pub(crate) router: Router,
    pub(crate) settings: Arc<S>,
}

impl<S: Default> Default for Endpoint<S> {
    fn default() -> Self {
        Endpoint { router: Router::default(), settings: Arc::default() }
    }
}

impl<S> Endpoint<S> {
    /// Handles an event of this protocol's clients, or a system event such as `@connection`; see
    /// [`Router::on`].
    ///
    /// ```
    /// use switchboard::{App, Mesa, Reply};
    ///
    /// let app = App::new().with_mesa(Mesa::new().on("SAID", async || Reply("heard")));
    /// ```
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        self.router = self.router.on(event, handler);
        self
    }

    /// Puts a middleware around every handler of this endpoint, and around what happens to events
    /// without a handler; see [`Router::middleware`].
    ///
    /// ```
    /// use switchboard::{App, Mesa, Next, Request};
    ///
    /// let mesa = Mesa::new().middleware(async |request: Request, next: Next| next.run(request).await);
    /// let app = App::new().with_mesa(mesa);
    /// ```
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.router = self.router.middleware(middleware);
        self
    }
}
