//! The byte stream to a peer: TCP, or any other stream such as TLS or an in-memory pipe.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use socket2::SockRef;
use switchboard_hub::Transport;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Maximum number of bytes that a refused client may send before it reads the refusal.
const IGNORED_BYTES_MAX: usize = 1024 * 1024;

/// A stream other than a plain TCP socket.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// The stream of a connection.
pub(crate) enum PeerStream {
    /// Any thread may send; the kernel serializes concurrent sends.
    Tcp(Arc<Tcp>),
    /// Only the connection's task can send. A flush by another thread wakes that task.
    Other { stream: Box<dyn ByteStream>, owner: Arc<OwnerOnly> },
}

/// A TCP stream, and the waker of the task that reads it.
pub(crate) struct Tcp {
    stream: TcpStream,
    owner: AtomicWaker,
}

/// The runtime learns once of bytes that arrive, and not for as long as there are any (`epoll`).
const IS_EDGE_TRIGGERED: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Tcp {
    /// Reads available bytes. If they do not fill the buffer, there are no more, and the stream counts as not ready from
    /// then on. The next read therefore waits at once, without a system call that would fail. Tokio's `poll_read` does the
    /// same; it needs a mutable reference.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut all = None;
        let part = self.stream.try_io(Interest::READABLE, || {
            let len = (&*SockRef::from(&self.stream)).read(buffer)?;
            if IS_EDGE_TRIGGERED && 0 < len && len < buffer.len() {
                all = Some(len);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(len)
        });
        all.map_or(part, Ok)
    }
}

impl Transport for Tcp {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // Bypasses tokio, because `try_write` returns `WouldBlock` until the driver has polled the socket
        // for the first time.
        SockRef::from(&self.stream).send(bytes)
    }

    fn wake_owner(&self) {
        self.owner.wake();
    }
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
        PeerStream::Tcp(Arc::new(Tcp { stream, owner: AtomicWaker::new() }))
    }

    pub(crate) fn other(stream: impl ByteStream + 'static) -> Self {
        PeerStream::Other { stream: Box::new(stream), owner: Arc::default() }
    }

    /// The transport through which the session's outbox sends.
    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        match self {
            PeerStream::Tcp(tcp) => tcp.clone(),
            PeerStream::Other { owner, .. } => owner.clone(),
        }
    }

    /// Registers the current task to be woken by [`Transport::wake_owner`].
    pub(crate) fn register(&self, cx: &Context<'_>) {
        match self {
            PeerStream::Tcp(tcp) => tcp.owner.register(cx.waker()),
            PeerStream::Other { owner, .. } => owner.waker.register(cx.waker()),
        }
    }

    /// Reads available bytes. Zero bytes mean that the peer has closed the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            PeerStream::Tcp(tcp) => loop {
                ready!(tcp.stream.poll_read_ready(cx))?;
                match tcp.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    outcome => return Poll::Ready(outcome),
                }
            },
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
            PeerStream::Tcp(tcp) => loop {
                ready!(tcp.stream.poll_write_ready(cx))?;
                // Uses tokio, so that `WouldBlock` clears the readiness flag.
                match tcp.stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    outcome => return Poll::Ready(outcome),
                }
            },
            PeerStream::Other { stream, .. } => {
                let sent = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                // A buffering stream, such as TLS, must not hold back the end of a batch.
                let _ = Pin::new(stream).poll_flush(cx)?;
                Poll::Ready(Ok(sent))
            }
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
            PeerStream::Tcp(tcp) => {
                let _ = SockRef::from(&tcp.stream).shutdown(std::net::Shutdown::Write);
            }
            PeerStream::Other { stream, .. } => {
                let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
            }
        }
    }
}
