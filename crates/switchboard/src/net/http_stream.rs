//! The stream of an HTTP connection: TCP, or TLS on TCP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::net::tls_peer::TlsPeer;
use crate::net::transport::PeerStream;

/// A stream as hyper reads and writes it.
pub(crate) enum HttpStream {
    Tcp(TokioIo<TcpStream>),
    Tls(Arc<TlsPeer>),
}

impl From<TcpStream> for HttpStream {
    fn from(stream: TcpStream) -> Self {
        HttpStream::Tcp(TokioIo::new(stream))
    }
}

impl From<HttpStream> for PeerStream {
    /// The stream after the upgrade to a WebSocket, on which any thread may send.
    fn from(stream: HttpStream) -> Self {
        match stream {
            HttpStream::Tcp(stream) => PeerStream::tcp(stream.into_inner()),
            HttpStream::Tls(peer) => PeerStream::Tls(peer),
        }
    }
}

impl Read for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            HttpStream::Tls(peer) => {
                let max = buffer.remaining();
                peer.poll_read_with(cx, max, |plaintext| buffer.put_slice(plaintext))
            }
        }
    }
}

impl Write for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            HttpStream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            HttpStream::Tls(peer) => peer.poll_send(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            HttpStream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            HttpStream::Tls(peer) => {
                let first = parts.iter().find(|part| !part.is_empty());
                peer.poll_send(cx, first.map_or(&[], |part| part))
            }
        }
    }

    /// False for TLS, so that hyper copies small parts together: head and body are then in one TLS record.
    fn is_write_vectored(&self) -> bool {
        matches!(self, HttpStream::Tcp(stream) if stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            HttpStream::Tls(peer) => peer.poll_unsent(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            HttpStream::Tls(peer) => peer.poll_shutdown(cx),
        }
    }
}
