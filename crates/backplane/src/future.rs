//! The future and the error of calls to a backplane.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;

/// A boxed future, so that traits with asynchronous methods can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A call to a service of the backplane, boxed.
pub type BackplaneFuture<'a, T> = BoxFuture<'a, Result<T, BackplaneError>>;

/// The service did not answer, or answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("the backplane did not answer")]
pub struct BackplaneError(#[source] pub Box<dyn Error + Send + Sync>);

/// An immediate reply.
pub(crate) fn reply<'a, T: Send + 'a>(value: T) -> BackplaneFuture<'a, T> {
    Box::pin(ready(Ok(value)))
}
