//! Listeners: connections for the current runtime, or for one that is chosen afterwards.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};

/// Accepts TCP connections.
pub(crate) trait Listener: AsFd {
    /// A connection.
    type Stream: AsFd;

    /// The next connection, and its peer.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// A listener with connections that belong to no runtime yet. Tokio's registers each with the current runtime, and
/// another runtime would have to undo that first.
pub(crate) struct UnboundListener(AsyncFd<std::net::TcpListener>);

impl UnboundListener {
    /// Must be called on the runtime that accepts.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe; it is sound for a type that keeps its descriptor"
    )]
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        AsyncFd::with_interest(listener.into_std()?, Interest::READABLE).map(UnboundListener)
    }
}

impl AsFd for UnboundListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener for UnboundListener {
    type Stream = std::net::TcpStream;

    async fn accept(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.async_io(Interest::READABLE, std::net::TcpListener::accept).await?;
        stream.set_nonblocking(true)?;
        Ok((stream, peer))
    }
}
