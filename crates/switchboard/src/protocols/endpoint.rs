//! An endpoint for the clients of one protocol, with settings and handlers of its own.

use std::sync::Arc;

use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::router::Router;

/// An endpoint for the clients of one protocol, [`Koji`](crate::Koji) or [`Mesa`](crate::Mesa): settings of
/// type `S`, handlers and middleware.
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
    /// Adds a handler for an event or a system event of this protocol's clients; see [`Router::on`].
    ///
    /// # Panics
    /// In the cases that [`Router::on`] names.
    ///
    /// ```
    /// use switchboard::{App, Mesa, Reply};
    ///
    /// let app = App::new().with_mesa(Mesa::new().on("PING", async || Reply("pong")));
    /// ```
    #[track_caller]
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        self.router = self.router.on(event, handler);
        self
    }

    /// Adds a middleware around every handler of this endpoint and around the handling of events without
    /// a handler; see [`Router::middleware`].
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
