//! Polling a handler's future: once by the caller, then in a task of its own if it is not ready.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use crate::node::tasks::Panic;
use crate::routing::handler::ResponseFuture;
use crate::routing::reply::Response;

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
