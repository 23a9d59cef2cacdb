//! Limits what a server can send without delivering messages: control frames, empty fragments, and a message that it
//! never finishes.
//!
//! The stream counts every byte that it reads, and the reader subtracts the messages. The rest may be as large as one
//! message, and decreases over time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes per second that a server may send without messages.
const OVERHEAD_BYTES_PER_S: f64 = 4096.0;

/// Bytes that may have been read beyond the end of a message.
const READ_AHEAD_BYTES: i64 = 64 * 1024;

/// Longest header of a server's frame.
const HEADER_BYTES_MAX: usize = 10;

/// Bytes of a message for each byte that the headers of its fragments may have.
const BYTES_PER_HEADER_BYTE: usize = 64;

/// The bytes received that belong to no message so far.
#[derive(Clone, Default)]
pub(crate) struct Overhead(Arc<AtomicI64>);

impl Overhead {
    /// Subtracts a message with this length.
    pub(crate) fn subtract_message(&self, len: usize) {
        let bytes = len + HEADER_BYTES_MAX + len / BYTES_PER_HEADER_BYTE;
        self.0.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

/// A stream that fails if the server sends too much overhead.
pub(crate) struct Metered<S> {
    stream: S,
    overhead: Overhead,
    /// Maximum number of bytes of overhead.
    max: i64,
    updated: Instant,
}

/// The server exceeds the limit. The connection ends, and `@error` reports this text.
#[derive(Debug, thiserror::Error)]
#[error("the server sent {0} bytes without completing a message")]
struct TooMuchOverhead(i64);

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, message_bytes_max: usize) -> Self {
        let max = i64::try_from(message_bytes_max).unwrap_or(i64::MAX).saturating_add(READ_AHEAD_BYTES);
        Metered { stream, overhead: Overhead::default(), max, updated: Instant::now() }
    }

    pub(crate) fn overhead(&self) -> Overhead {
        self.overhead.clone()
    }

    /// Counts received bytes, after the decrease since the last call.
    fn count(&mut self, received: usize, now: Instant) -> Result<(), TooMuchOverhead> {
        let elapsed_s = now.saturating_duration_since(self.updated).as_secs_f64();
        let decrease = (elapsed_s * OVERHEAD_BYTES_PER_S) as i64;
        if decrease > 0 {
            self.updated = now;
        }
        let before = self.overhead.0.load(Ordering::Relaxed);
        let overhead = (before - decrease).max(0) + received as i64;
        self.overhead.0.store(overhead, Ordering::Relaxed);
        if overhead > self.max { Err(TooMuchOverhead(self.max)) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let received = buffer.filled().len() - before;
        let counted = self.count(received, Instant::now());
        Poll::Ready(counted.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn overhead_is_bounded_and_decreases_over_time() {
        let mut metered = Metered::new((), 1000);
        let start = metered.updated;
        metered.count(1000 + 64 * 1024, start).unwrap();
        assert!(metered.count(1, start).is_err());
        metered.count(4095, start + Duration::from_secs(1)).unwrap();
        assert!(metered.count(2, start + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn messages_are_not_overhead_even_in_fragments() {
        let mut metered = Metered::new((), 1000);
        let (overhead, start) = (metered.overhead(), metered.updated);
        for _ in 0..1000 {
            // Four fragments of 250 bytes.
            metered.count(4 * (4 + 250), start).unwrap();
            overhead.subtract_message(1000);
            metered.count(2 + 10, start).unwrap();
            overhead.subtract_message(10);
        }
    }
}
