//! Handlers: async functions whose arguments are extractors.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::api::setup::Setup;
use crate::routing::extract::FromRequest;
use crate::routing::reply::{IntoResponse, Response};
use crate::routing::request::Request;

/// The future of a handler's response.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An async function that handles an event.
///
/// A handler takes up to eight arguments that implement [`FromRequest`], and returns a type that
/// implements [`IntoResponse`]. `Args` is the tuple of argument types; it is inferred.
///
/// ```
/// use switchboard::{App, Data, Reply, ReplyError, Socket};
///
/// async fn send_message(socket: Socket, Data(text): Data<String>) -> Result<(), ReplyError> {
///     socket.to("#lobby").emit("message", &text)?;
///     Ok(())
/// }
/// let app = App::new().on("/message", send_message).on("/ping", async || Reply("pong")); // closures too
/// ```
pub trait Handler<Args>: Send + Sync + 'static {
    /// Handles one event.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send>>;

    /// Checks that the app has the values that the arguments need; see [`FromRequest::check`].
    fn check(&self, setup: &Setup) -> Result<(), String>;
}

/// A handler of any argument types.
#[derive(Clone)]
pub(crate) struct AnyHandler(Arc<dyn ErasedHandler>);

trait ErasedHandler: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
    fn check(&self, setup: &Setup) -> Result<(), String>;
}

struct Typed<H, Args>(H, std::marker::PhantomData<fn(Args)>);

impl<H: Handler<Args>, Args: 'static> ErasedHandler for Typed<H, Args> {
    fn call(&self, request: Request) -> ResponseFuture {
        self.0.call(request)
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        self.0.check(setup)
    }
}

impl AnyHandler {
    pub(crate) fn new<Args: 'static>(handler: impl Handler<Args>) -> Self {
        AnyHandler(Arc::new(Typed(handler, std::marker::PhantomData)))
    }

    pub(crate) fn call(&self, request: Request) -> ResponseFuture {
        self.0.call(request)
    }

    pub(crate) fn check(&self, setup: &Setup) -> Result<(), String> {
        self.0.check(setup)
    }
}

macro_rules! impl_handler {
    ($($arg:ident),*) => {
        #[allow(non_snake_case, unused_variables, clippy::allow_attributes, reason = "written once for all arities")]
        impl<F, Fut, $($arg),*> Handler<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoResponse,
            $($arg: FromRequest + Send + 'static,)*
        {
            fn call(&self, request: Request) -> ResponseFuture {
                $(let $arg = match $arg::from_request(&request) {
                    Ok(value) => value,
                    Err(error) => return Box::pin(std::future::ready(error.into_response())),
                };)*
                let future = self($($arg),*);
                Box::pin(async move { future.await.into_response() })
            }

            fn check(&self, setup: &Setup) -> Result<(), String> {
                $($arg::check(setup)?;)*
                Ok(())
            }
        }
    };
}

impl_handler!();
impl_handler!(A);
impl_handler!(A, B);
impl_handler!(A, B, C);
impl_handler!(A, B, C, D);
impl_handler!(A, B, C, D, E);
impl_handler!(A, B, C, D, E, G);
impl_handler!(A, B, C, D, E, G, H);
impl_handler!(A, B, C, D, E, G, H, I);
