//! Arguments of handlers: extractors that are ready at once, and extractors that wait.
//!
//! A handler whose arguments are all ready at once obtains them before its future is made, so that they cost nothing
//! beside their values. Only a handler with an argument that waits obtains them inside its future.

use std::future::{Future, ready};

use crate::api::setup::Setup;
use crate::routing::extract::{AsyncFromRequest, FromRequest};
use crate::routing::reply::ReplyError;
use crate::routing::request::Request;

/// A type that a handler can take: it implements [`FromRequest`] or [`AsyncFromRequest`]. `Kind` is inferred; it tells
/// the compiler that the two implementations below do not overlap.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "not an extractor",
    note = "to read the data of the event, write `Data<{Self}>`",
    note = "to read a value that was given to `App::with_state`, write `State<{Self}>`",
    note = "to make an extractor of `{Self}` itself, implement `FromRequest` or `AsyncFromRequest`"
)]
pub trait Argument<Kind>: Sized {
    /// True if the value may have to be waited for.
    const WAITS: bool;

    /// Extracts a value that is ready at once.
    fn extract_now(request: &Request) -> Result<Self, ReplyError>;

    /// Extracts a value that may have to be waited for.
    fn extract(request: &Request) -> impl Future<Output = Result<Self, ReplyError>> + Send;

    /// See [`FromRequest::check`].
    fn check(setup: &Setup) -> Result<(), String>;
}

/// The kind of arguments that are ready at once.
pub struct Ready;

/// The kind of arguments that may have to be waited for.
pub struct Waiting;

#[diagnostic::do_not_recommend]
impl<T: FromRequest + Send> Argument<Ready> for T {
    const WAITS: bool = false;

    fn extract_now(request: &Request) -> Result<Self, ReplyError> {
        T::from_request(request)
    }

    fn extract(request: &Request) -> impl Future<Output = Result<Self, ReplyError>> + Send {
        ready(T::from_request(request))
    }

    fn check(setup: &Setup) -> Result<(), String> {
        <T as FromRequest>::check(setup)
    }
}

#[diagnostic::do_not_recommend]
impl<T: AsyncFromRequest + Send> Argument<Waiting> for T {
    const WAITS: bool = true;

    fn extract_now(_: &Request) -> Result<Self, ReplyError> {
        unreachable!("an argument that waits is extracted in the future of its handler")
    }

    fn extract(request: &Request) -> impl Future<Output = Result<Self, ReplyError>> + Send {
        T::from_request(request)
    }

    fn check(setup: &Setup) -> Result<(), String> {
        <T as AsyncFromRequest>::check(setup)
    }
}
