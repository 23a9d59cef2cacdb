//! The body of an HTTP request, with a deadline that moves as bytes arrive.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::net::timed_stream::STOP_GRACE;
use crate::node::refusal_reason::RefusalReason;

/// A body that takes longer than its time-out needs this rate on average.
const BYTES_PER_S_MIN: u64 = 4096;

/// A body with a deadline.
pub(crate) struct TimedBody {
    body: Incoming,
    timeout: Duration,
    stopped: CancellationToken,
    received: Arc<AtomicU64>,
    /// Ready at the deadline. Set once the body has to be waited for.
    expired: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The body did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body was not complete in time")]
    Timeout,
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl TimedBody {
    /// `timeout` begins when the body has to be waited for. `stopped` is cancelled when the server stops.
    pub(crate) fn new(body: Incoming, timeout: Duration, stopped: CancellationToken) -> Self {
        TimedBody { body, timeout, stopped, received: Arc::default(), expired: None }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let expired = self.expired.get_or_insert_with(|| {
            Box::pin(expire(self.timeout, self.received.clone(), self.stopped.clone()))
        });
        expired.as_mut().poll(cx)
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.poll_expired(cx).is_ready() => {
                RefusalReason::Timeout.count();
                return Poll::Ready(Some(Err(BodyError::Timeout)));
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        if let Some(Ok(frame)) = &frame {
            let len = frame.data_ref().map_or(0, Bytes::len);
            self.received.fetch_add(len as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| Ok(frame?)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Waits for the time-out and one second more for each [`BYTES_PER_S_MIN`] received, or shortly after the stop.
async fn expire(timeout: Duration, received: Arc<AtomicU64>, stopped: CancellationToken) {
    let too_slow = async {
        let mut waited = Duration::ZERO;
        loop {
            let allowed = timeout + Duration::from_secs(received.load(Ordering::Relaxed) / BYTES_PER_S_MIN);
            if allowed <= waited {
                return;
            }
            tokio::time::sleep(allowed - waited).await;
            waited = allowed;
        }
    };
    let stop = async {
        stopped.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        () = too_slow => {}
        () = stop => {}
    }
}
