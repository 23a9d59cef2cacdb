//! The byte stream to a peer: TCP, TLS on TCP, or any other stream such as an in-memory pipe.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use switchboard_hub::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::net::tcp_peer::TcpPeer;
use crate::net::tls_peer::TlsPeer;

/// Maximum number of bytes that a refused client may send before it reads the refusal.
const IGNORED_BYTES_MAX: usize = 1024 * 1024;

/// A stream that the server has not accepted itself.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// The stream of a connection.
pub(crate) enum PeerStream {
    /// Any thread may send; the kernel serializes concurrent sends.
    Tcp(Arc<TcpPeer>),
    /// Any thread may send; it encrypts what it sends.
    Tls(Arc<TlsPeer>),
    /// Only the connection's task can send. A flush by another thread wakes that task.
    Other { stream: Box<dyn ByteStream>, owner: Arc<OwnerOnly> },
}

/// The transport of a stream on which only its owner can send: `send` returns `WouldBlock`, and the owner is woken.
#[derive(Default)]
pub(crate) struct OwnerOnly {
    waker: AtomicWaker,
}

impl Transport for OwnerOnly {
    fn send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wake_owner(&self) {
        self.waker.wake();
    }
}

impl PeerStream {
    /// A stream with the [options](crate::net::tcp_options) of connections.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        PeerStream::Tcp(Arc::new(TcpPeer::new(stream)))
    }

    pub(crate) fn other(stream: impl ByteStream + 'static) -> Self {
        PeerStream::Other { stream: Box::new(stream), owner: Arc::default() }
    }

    /// The transport through which the session's outbox sends.
    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        match self {
            PeerStream::Tcp(tcp) => tcp.clone(),
            PeerStream::Tls(tls) => tls.clone(),
            PeerStream::Other { owner, .. } => owner.clone(),
        }
    }

    /// Registers the current task to be woken by [`Transport::wake_owner`].
    pub(crate) fn register(&self, cx: &Context<'_>) {
        match self {
            PeerStream::Tcp(tcp) => tcp.register(cx),
            PeerStream::Tls(tls) => tls.register(cx),
            PeerStream::Other { owner, .. } => owner.waker.register(cx.waker()),
        }
    }

    /// Reads available bytes. Zero bytes mean that the peer has closed the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            PeerStream::Tcp(tcp) => tcp.poll_read(cx, buffer),
            PeerStream::Tls(tls) => tls.poll_read(cx, buffer),
            PeerStream::Other { stream, .. } => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Sends as many bytes as the stream accepts; pending until it accepts at least one.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            PeerStream::Tcp(tcp) => tcp.poll_send(cx, bytes),
            PeerStream::Tls(tls) => tls.poll_send(cx, bytes),
            PeerStream::Other { stream, .. } => {
                let sent = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                // A buffering stream, such as TLS, must not hold back the end of a batch.
                let _ = Pin::new(stream).poll_flush(cx)?;
                Poll::Ready(Ok(sent))
            }
        }
    }

    /// Returns true if bytes that were accepted for sending wait for the kernel. The owner has to call
    /// [`poll_accepted`](Self::poll_accepted) then.
    pub(crate) fn has_accepted(&self) -> bool {
        matches!(self, PeerStream::Tls(tls) if tls.has_unsent())
    }

    /// Sends accepted bytes that wait for the kernel.
    pub(crate) fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // The owner's next read fails as well and ends the connection.
            PeerStream::Tls(tls) => tls.poll_unsent(cx).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// Sends a single frame and closes the stream. For clients that are refused after the handshake.
    pub(crate) async fn send_and_close(mut self, frame: &[u8], timeout: Duration) {
        let closing = async {
            let mut sent = 0;
            while sent < frame.len() {
                sent += poll_fn(|cx| self.poll_send(cx, &frame[sent..])).await?;
            }
            self.shutdown().await;
            // Unread input would make the kernel send a reset, which may discard the frame.
            let (mut buffer, mut ignored) = ([0; 1024], 0);
            while ignored < IGNORED_BYTES_MAX {
                match poll_fn(|cx| self.poll_read(cx, &mut buffer)).await? {
                    0 => break,
                    len => ignored += len,
                }
            }
            io::Result::Ok(())
        };
        // An error means that the peer has closed the stream already.
        let _ = tokio::time::timeout(timeout, closing).await;
    }

    /// Closes the sending direction.
    pub(crate) async fn shutdown(&mut self) {
        match self {
            PeerStream::Tcp(tcp) => tcp.shutdown(),
            PeerStream::Tls(tls) => {
                let _ = poll_fn(|cx| tls.poll_shutdown(cx)).await;
            }
            PeerStream::Other { stream, .. } => {
                let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
            }
        }
    }
}
