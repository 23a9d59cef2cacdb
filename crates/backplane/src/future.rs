//! The futures that shared services return.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;

/// A boxed future that signals an event.
pub type Moment<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A boxed future for the reply of a shared service.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A shared service could not be reached, or refused.
#[derive(Debug, thiserror::Error)]
#[error("the shared store did not answer")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// A reply that is known already.
pub(crate) fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(ready(Ok(value)))
}
