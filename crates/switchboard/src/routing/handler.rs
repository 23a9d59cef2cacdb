//! Handlers: async functions whose arguments are extractors. A handler's future is polled once by the caller, then in a
//! task of its own if it is not ready.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use crate::api::setup::Setup;
use crate::node::tasks::Panic;
use crate::routing::argument::Argument;
use crate::routing::reply::{IntoResponse, Response};
use crate::routing::request::Request;

/// The future of a handler's response.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An async function that handles an event.
///
/// A handler takes up to eight arguments that implement [`FromRequest`](crate::FromRequest) or
/// [`AsyncFromRequest`](crate::AsyncFromRequest), in any order, and returns a type that implements
/// [`IntoResponse`]. `Args` is made of the argument types; it is inferred.
///
/// If the compiler refuses a function without naming the cause, write
/// [`#[debug_handler]`](crate::debug_handler) above it.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an `async fn` or an async closure with at most eight arguments that implement `FromRequest`, and with a return type that implements `IntoResponse`",
    note = "pass the function itself, `ping`, and not its future, `ping()`",
    note = "the future must be `Send`: a lock guard or an `Rc` must not be held across an `.await`",
    note = "write `#[switchboard::debug_handler]` above the function, and the compiler names the cause; make a closure a function for it"
)]
pub trait Handler<Args>: Send + Sync + 'static {
    /// Handles one event.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send>>;

    /// Checks that the app has the values that the arguments need; see [`FromRequest::check`](crate::FromRequest::check).
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
    ($($kind:ident $arg:ident),*) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "the macro is used with and without arguments")]
        impl<F, Fut, $($kind, $arg),*> Handler<($(($kind, $arg),)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoResponse,
            $($arg: Argument<$kind> + Send + 'static,)*
        {
            fn call(&self, request: Request) -> ResponseFuture {
                if const { false $(|| <$arg as Argument<$kind>>::WAITS)* } {
                    let handler = self.clone();
                    return Box::pin(async move {
                        $(let $arg = match <$arg as Argument<$kind>>::extract(&request).await {
                            Ok(value) => value,
                            Err(error) => return error.into_response(),
                        };)*
                        handler($($arg),*).await.into_response()
                    });
                }
                $(let $arg = match <$arg as Argument<$kind>>::extract_now(&request) {
                    Ok(value) => value,
                    Err(error) => return Box::pin(std::future::ready(error.into_response())),
                };)*
                // Smaller than an async block, which would keep the future twice.
                Box::pin(self($($arg),*).map(IntoResponse::into_response))
            }

            fn check(&self, setup: &Setup) -> Result<(), String> {
                $(<$arg as Argument<$kind>>::check(setup)?;)*
                Ok(())
            }
        }
    };
}

impl_handler!();
impl_handler!(KA A);
impl_handler!(KA A, KB B);
impl_handler!(KA A, KB B, KC C);
impl_handler!(KA A, KB B, KC C, KD D);
impl_handler!(KA A, KB B, KC C, KD D, KE E);
impl_handler!(KA A, KB B, KC C, KD D, KE E, KG G);
impl_handler!(KA A, KB B, KC C, KD D, KE E, KG G, KH H);
impl_handler!(KA A, KB B, KC C, KD D, KE E, KG G, KH H, KI I);

/// Polls a future once; `None` if it is pending. It is not woken: the next poll registers a waker.
pub(crate) fn poll_once(future: &mut ResponseFuture) -> Option<Result<Response, Panic>> {
    match catch_panic(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))) {
        Ok(Poll::Ready(response)) => Some(Ok(response)),
        Ok(Poll::Pending) => None,
        Err(panic) => Some(Err(panic)),
    }
}

/// Runs a future to completion.
pub(crate) async fn run_to_end(future: ResponseFuture) -> Result<Response, Panic> {
    AssertUnwindSafe(future).catch_unwind().await
}

/// Calls application code and catches its panic.
pub(crate) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(call))
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload, Protocol};

    use super::*;
    use crate::api::app::App;
    use crate::api::socket::Socket;
    use crate::node::connection_info::ConnectionInfo;
    use crate::node::connection_state::ConnectionState;
    use crate::routing::extract::{AsyncFromRequest, Data};
    use crate::routing::reply::{Reply, ReplyError};

    fn request(data: &str) -> Request {
        let app = App::new();
        let state = ConnectionState::new(ConnectionInfo::empty(), Box::new(()));
        let session = app.hub().placeholder_session(app.project_id(), Protocol::ALL[0], Box::new(state));
        let data = Payload::parse(data).unwrap();
        Request::new(Socket::new(&app, session), Name::new("/test").unwrap(), data, None)
    }

    struct Waited;

    impl AsyncFromRequest for Waited {
        async fn from_request(_: &Request) -> Result<Self, ReplyError> {
            Ok(Waited)
        }
    }

    /// The bytes that a handler's future occupies.
    fn future_bytes<Args>(handler: impl Handler<Args>) -> usize {
        size_of_val(&*handler.call(request("[7,7,7,7,7,7,7,7]")))
    }

    async fn short(_: Socket, Data(numbers): Data<[u64; 8]>, Data(_): Data<[u64; 8]>) -> Reply<u64> {
        Reply(numbers[0])
    }

    async fn waits(
        _: Socket,
        Data(numbers): Data<[u64; 8]>,
        Data(_): Data<[u64; 8]>,
        _: Waited,
    ) -> Reply<u64> {
        Reply(numbers[0])
    }

    #[test]
    fn arguments_that_are_ready_at_once_do_not_enlarge_the_future_of_a_handler() {
        let numbers = Data([7; 8]);
        let own = size_of_val(&short(request("0").socket().clone(), numbers.clone(), numbers));
        let whole = future_bytes(short);
        assert!(whole <= own + size_of::<usize>(), "{whole} bytes for a future of {own}");
        assert!(
            future_bytes(waits) > whole,
            "the measurement sees the larger future of an argument that waits"
        );
    }
}
