//! Lets a client of HTTP/2 receive an answer that is given before its request has been read.
//!
//! A server that drops the rest of a request's body resets the stream. Clients such as curl 7.88 then report an error of the
//! stream in place of the answer, so a wrong key or host looks like a broken server. With HTTP/1.1 hyper does this itself.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::Version;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Most bytes that are read and discarded before an answer.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// Longest wait for them. A client that sends slower finds its stream reset.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Discards what the routes have left of a request's body, before they answer.
pub(super) fn discard(routes: Router) -> Router {
    routes.layer(from_fn(answer))
}

async fn answer(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let mut rest = SharedBody(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(rest.clone()))).await;
    let _ = timeout(DISCARD_TIMEOUT, discard_rest(&mut rest)).await;
    response
}

async fn discard_rest(body: &mut SharedBody) {
    let mut discarded = 0;
    while discarded < DISCARDED_BYTES_MAX
        && !body.is_end_stream()
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that outlives the request.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Body>>);

impl SharedBody {
    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().expect("no code that holds the body panics")
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
