//! Middleware: async functions that run around handlers and can reply in their place.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::api::setup::Setup;
use crate::routing::handler::{AnyHandler, Handler, ResponseFuture};
use crate::routing::reply::IntoResponse;
use crate::routing::request::Request;

/// An async function that runs around the handler of an event.
///
/// Every `async fn(Request, Next) -> impl IntoResponse` is a middleware. It calls [`Next::run`] to run the
/// rest of the chain, or returns its own response, in which case the handler does not run.
///
/// ```
/// use switchboard::{IntoResponse, Next, ReplyError, Request, Response};
///
/// async fn signed_in(request: Request, next: Next) -> Response {
///     match request.get::<String>("user") {
///         Some(_) => next.run(request).await,
///         None => ReplyError::unauthorized().into_response(),
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    label = "not a middleware",
    note = "a middleware is an `async fn(Request, Next) -> Response`, with the arguments in this order; every type that implements `IntoResponse` may take the place of `Response`",
    note = "write `#[switchboard::debug_middleware]` above the function, and the compiler names the cause"
)]
pub trait Middleware: Send + Sync + 'static {
    /// Handles one event; calls `next` to continue to the handler.
    ///
    /// ```
    /// use std::pin::Pin;
    /// use switchboard::{IntoResponse, Middleware, Next, ReplyError, Request, Response};
    ///
    /// struct Only(&'static str);
    ///
    /// impl Middleware for Only {
    ///     fn handle(&self, request: Request, next: Next) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    ///         match request.socket().tags().iter().any(|tag| *tag == self.0) {
    ///             true => next.run(request),
    ///             false => Box::pin(async { ReplyError::unauthorized().into_response() }),
    ///         }
    ///     }
    /// }
    /// # async fn ban() {}
    /// let app = switchboard::App::new().on("/ban", Only("*admin").then(ban));
    /// ```
    fn handle(&self, request: Request, next: Next) -> ResponseFuture;

    /// Combines two middleware: this one runs first, around `inner`.
    ///
    /// ```
    /// # use switchboard::{App, Middleware, Next, Request, Response};
    /// # async fn log(request: Request, next: Next) -> Response { next.run(request).await }
    /// # async fn signed_in(request: Request, next: Next) -> Response { next.run(request).await }
    /// let app = App::new().middleware(log.and(signed_in)); // `log` runs first
    /// ```
    fn and<M: Middleware>(self, inner: M) -> impl Middleware
    where
        Self: Sized,
    {
        And { outer: Arc::new(self), inner: Arc::new(inner) }
    }

    /// Puts this middleware around one handler.
    ///
    /// ```
    /// # use switchboard::{App, Middleware, Next, Request, Response};
    /// # async fn signed_in(request: Request, next: Next) -> Response { next.run(request).await }
    /// # async fn admin_only(request: Request, next: Next) -> Response { next.run(request).await }
    /// # async fn profile() {}
    /// let app = App::new()
    ///     .on("/profile", signed_in.then(profile))
    ///     .on("/admin", signed_in.and(admin_only).then(profile));
    /// ```
    fn then<H: Handler<Args>, Args: 'static>(self, handler: H) -> impl Handler<(Self, Args)>
    where
        Self: Sized,
    {
        Then { middleware: Arc::new(self), handler: AnyHandler::new(handler), args: PhantomData }
    }
}

#[diagnostic::do_not_recommend]
impl<F, Fut> Middleware for F
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResponse,
{
    fn handle(&self, request: Request, next: Next) -> ResponseFuture {
        Box::pin(self(request, next).map(IntoResponse::into_response))
    }
}

/// The rest of the chain: the inner middleware and the handler.
///
/// ```
/// # use switchboard::{Next, Request, Response};
/// async fn counted(request: Request, next: Next) -> Response {
///     request.set("count", request.get::<u32>("count").unwrap_or(0) + 1);
///     next.run(request).await
/// }
/// ```
pub struct Next {
    rest: Rest,
}

enum Rest {
    Chain { chain: Arc<[Arc<dyn Middleware>]>, index: usize, handler: AnyHandler },
    Inner { middleware: Arc<dyn Middleware>, next: Box<Next> },
}

impl Next {
    pub(crate) fn new(chain: Arc<[Arc<dyn Middleware>]>, handler: AnyHandler) -> Self {
        Next { rest: Rest::Chain { chain, index: 0, handler } }
    }

    /// Runs the next middleware, or the handler if there is none.
    ///
    /// ```
    /// # use switchboard::{Next, Request, Response};
    /// async fn log(request: Request, next: Next) -> Response {
    ///     let event = request.event().to_owned();
    ///     let response = next.run(request).await;
    ///     println!("{event} is done");
    ///     response
    /// }
    /// ```
    pub fn run(self, request: Request) -> ResponseFuture {
        match self.rest {
            Rest::Chain { chain, index, handler } => match chain.get(index).cloned() {
                Some(middleware) => {
                    let rest = Rest::Chain { chain, index: index + 1, handler };
                    middleware.handle(request, Next { rest })
                }
                None => handler.call(request),
            },
            Rest::Inner { middleware, next } => middleware.handle(request, *next),
        }
    }
}

/// The middleware that [`Middleware::and`] returns.
struct And<A, B> {
    outer: Arc<A>,
    inner: Arc<B>,
}

impl<A: Middleware, B: Middleware> Middleware for And<A, B> {
    fn handle(&self, request: Request, next: Next) -> ResponseFuture {
        let rest = Rest::Inner { middleware: self.inner.clone(), next: Box::new(next) };
        self.outer.handle(request, Next { rest })
    }
}

/// The handler that [`Middleware::then`] returns.
struct Then<M, Args> {
    middleware: Arc<M>,
    handler: AnyHandler,
    args: PhantomData<fn(Args)>,
}

#[diagnostic::do_not_recommend]
impl<M: Middleware, Args: 'static> Handler<(M, Args)> for Then<M, Args> {
    fn call(&self, request: Request) -> ResponseFuture {
        self.middleware.handle(request, Next::new(Arc::new([]), self.handler.clone()))
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        self.handler.check(setup)
    }
}
