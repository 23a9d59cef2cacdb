//! The stream of an HTTP connection, with a deadline for a peer that does not read its answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio_util::sync::CancellationToken;

use crate::net::http_stream::HttpStream;

/// How long a stopping server waits for a peer that neither reads nor sends.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(1);

/// A stream. Sending fails once the peer has accepted nothing for the time-out.
pub(crate) struct TimedStream {
    stream: HttpStream,
    timeout: Duration,
    stopped: CancellationToken,
    /// Ready at the deadline. Set while the peer accepts nothing.
    expired: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl TimedStream {
    /// `stopped` is cancelled when the server stops.
    pub(crate) fn new(stream: HttpStream, timeout: Duration, stopped: CancellationToken) -> Self {
        TimedStream { stream, timeout, stopped, expired: None }
    }

    pub(crate) fn into_inner(self) -> HttpStream {
        self.stream
    }

    /// Ends the wait at progress, or fails at the deadline.
    fn timed<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.expired = None;
            return sent;
        }
        let expired = self.expired.get_or_insert_with(|| {
            let (timeout, stopped) = (self.timeout, self.stopped.clone());
            Box::pin(async move {
                tokio::select! {
                    () = tokio::time::sleep(timeout) => {}
                    () = stopped.cancelled() => tokio::time::sleep(STOP_GRACE.min(timeout)).await,
                }
            })
        });
        expired.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.timed(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.timed(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.timed(cx, sent)
    }
}
