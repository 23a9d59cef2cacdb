//! The future and error types of shared services.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;

/// A boxed future, so that traits with asynchronous methods can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The reply of a shared service, boxed.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The shared service did not reply, or replied with an error.
#[derive(Debug, thiserror::Error)]
#[error("the shared store did not answer")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// An immediate reply.
pub(crate) fn reply<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok(value)))
}
