//! Functions that the attributes `debug_handler` and `debug_middleware` name, so that an error of the compiler is about
//! one part of a function.

use std::future::Future;

use crate::routing::argument::Argument;
use crate::routing::extract::FromRequest;
use crate::routing::middleware::Next;
use crate::routing::reply::IntoResponse;
use crate::routing::request::Request;

/// Compiles if a handler can take `T`.
pub fn check_argument<T: Argument<Kind> + Send + 'static, Kind>() {}

/// Compiles if `T` is an extractor that is ready at once; the error names the bound that it lacks.
pub fn check_sync_argument<T: FromRequest + Send + 'static>() {}

/// Compiles if `T` is the tuple of the arguments of a middleware.
pub fn check_middleware_arguments<T: MiddlewareArguments>() {}

/// Compiles if a handler can return `T`.
pub fn check_reply<T: IntoResponse>() {}

/// Compiles if the future can move between threads.
pub fn check_future<T: Future + Send + 'static>(_: T) {}

/// Compiles if the future can move between threads and its output is a reply.
pub fn check_future_of_reply<T: Future<Output: IntoResponse> + Send + 'static>(_: T) {}

/// The arguments of a middleware.
#[diagnostic::on_unimplemented(
    message = "a middleware takes `(Request, Next)`, in this order; this one takes `{Self}`",
    label = "not `(Request, Next)`"
)]
pub trait MiddlewareArguments {}

impl MiddlewareArguments for (Request, Next) {}
