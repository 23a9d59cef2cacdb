//! Handlers: async functions of what they need.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::api::setup::Setup;
use crate::routing::extract::FromRequest;
use crate::routing::reply::{IntoResponse, Response};
use crate::routing::request::Request;

/// A response on its way.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An async function that handles an event.
///
/// Its arguments say what it needs, each a [`FromRequest`]; what it returns is the reply
/// ([`IntoResponse`]). Up to eight arguments. `Args` only tells the shapes apart.
///
/// ```
/// use switchboard::{App, Data, Reply, ReplyError, Socket};
///
/// async fn say(socket: Socket, Data(text): Data<String>) -> Result<(), ReplyError> {
///     socket.to("#lobby").emit("said", &text)?;
///     Ok(())
/// }
/// let app = App::new().on("/say", say).on("/ping", async || Reply("pong")); // closures too
/// ```
pub trait Handler<Args>: Send + Sync + 'static {
    /// Handles one event.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send>>;

    /// What is missing from the app for this handler to work, found before the first event.
    fn check(&self, setup: &Setup) -> Result<(), String>;
}

/// A handler whose argument types are forgotten.
#[derive(Clone)]
pub(crate) struct AnyHandler(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn call(&self, request: Request) -> ResponseFuture;
    fn check(&self, setup: &Setup) -> Result<(), String>;
}

struct Typed<H, Args>(H, std::marker::PhantomData<fn(Args)>);

impl<H: Handler<Args>, Args: 'static> Erased for Typed<H, Args> {
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

macro_rules! handler_of {
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

handler_of!();
handler_of!(A);
handler_of!(A, B);
handler_of!(A, B, C);
handler_of!(A, B, C, D);
handler_of!(A, B, C, D, E);
handler_of!(A, B, C, D, E, G);
handler_of!(A, B, C, D, E, G, H);
handler_of!(A, B, C, D, E, G, H, I);
