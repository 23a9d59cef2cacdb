//! The futures that shared services return.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;

/// A boxed future, so that traits with async methods stay usable as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed future for the reply of a shared service.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A shared service could not be reached, or refused.
#[derive(Debug, thiserror::Error)]
#[error("the shared store did not answer")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// A reply that is known already.
pub(crate) fn answer<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok(value)))
}
