//! The way out to a peer, over TCP or over anything that reads and writes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use socket2::SockRef;
use switchboard_hub::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that is no TCP socket of ours: TLS, a pipe in memory.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The connection's end of its stream.
pub(crate) enum Wire {
    /// Anyone may send; the kernel keeps concurrent sends apart.
    Tcp(Arc<Tcp>),
    /// Only the owner can send, so every flush is handed to it.
    Other { stream: Box<dyn Stream>, owner: Arc<Owner> },
}

/// A TCP connection and the task that reads it.
pub(crate) struct Tcp {
    stream: TcpStream,
    owner: AtomicWaker,
}

impl Transport for Tcp {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // Straight to the socket: tokio's `try_write` reports `WouldBlock` until the driver has
        // seen the socket once.
        SockRef::from(&self.stream).send(bytes)
    }

    fn wake_owner(&self) {
        self.owner.wake();
    }
}

/// Stands for a stream that others cannot send on.
#[derive(Default)]
pub(crate) struct Owner {
    waker: AtomicWaker,
}

impl Transport for Owner {
    fn send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wake_owner(&self) {
        self.waker.wake();
    }
}

impl Wire {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        // A frame is complete when it is sent; waiting for more only adds latency.
        let _ = stream.set_nodelay(true);
        Wire::Tcp(Arc::new(Tcp { stream, owner: AtomicWaker::new() }))
    }

    pub(crate) fn other(stream: impl Stream + 'static) -> Self {
        Wire::Other { stream: Box::new(stream), owner: Arc::default() }
    }

    /// What the session's outbox writes through.
    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Wire::Tcp(tcp) => tcp.clone(),
            Wire::Other { owner, .. } => owner.clone(),
        }
    }

    /// Remembers the task that is asked for by [`Transport::wake_owner`].
    pub(crate) fn register(&self, cx: &Context<'_>) {
        match self {
            Wire::Tcp(tcp) => tcp.owner.register(cx.waker()),
            Wire::Other { owner, .. } => owner.waker.register(cx.waker()),
        }
    }

    /// Reads what is there. Zero bytes mean the peer has closed.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Wire::Tcp(tcp) => loop {
                ready!(tcp.stream.poll_read_ready(cx))?;
                match tcp.stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    outcome => return Poll::Ready(outcome),
                }
            },
            Wire::Other { stream, .. } => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Sends what the peer takes, waiting until it takes something.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Wire::Tcp(tcp) => loop {
                ready!(tcp.stream.poll_write_ready(cx))?;
                // Through tokio, so that a `WouldBlock` clears the readiness that was waited for.
                match tcp.stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    outcome => return Poll::Ready(outcome),
                }
            },
            Wire::Other { stream, .. } => {
                let sent = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                // A stream that buffers, such as TLS, must not keep the end of a batch.
                let _ = Pin::new(stream).poll_flush(cx)?;
                Poll::Ready(Ok(sent))
            }
        }
    }

    /// Ends a connection that nothing has been said on with its first and last frame.
    pub(crate) async fn refuse(mut self, frame: &[u8], timeout: Duration) {
        let goodbye = async {
            let mut sent = 0;
            while sent < frame.len() {
                sent += poll_fn(|cx| self.poll_send(cx, &frame[sent..])).await?;
            }
            self.shutdown().await;
            // What the peer sends has to be read, or the reset would overtake the frame.
            let mut buffer = [0; 1024];
            while poll_fn(|cx| self.poll_read(cx, &mut buffer)).await? > 0 {}
            io::Result::Ok(())
        };
        // The peer may go first; that is as good.
        let _ = tokio::time::timeout(timeout, goodbye).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn shutdown(&mut self) {
        match self {
            Wire::Tcp(tcp) => {
                let _ = SockRef::from(&tcp.stream).shutdown(std::net::Shutdown::Write);
            }
            Wire::Other { stream, .. } => {
                let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
            }
        }
    }
}
