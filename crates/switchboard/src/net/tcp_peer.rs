//! A plain TCP stream that one task reads and any thread may send on.

use std::io::{self, Read};
use std::task::{Context, Poll, ready};

use atomic_waker::AtomicWaker;
use socket2::SockRef;
use switchboard_hub::Transport;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A TCP stream, and the waker of the task that reads it.
pub(crate) struct TcpPeer {
    stream: TcpStream,
    owner: AtomicWaker,
}

/// True if the runtime is notified once when bytes arrive (edge-triggered `epoll`), and not for as long as there are any.
const IS_EDGE_TRIGGERED: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl TcpPeer {
    /// A stream with the [options](crate::net::tcp_options) of connections.
    pub(crate) fn new(stream: TcpStream) -> Self {
        TcpPeer { stream, owner: AtomicWaker::new() }
    }

    /// Registers the current task to be woken by [`Transport::wake_owner`].
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.owner.register(cx.waker());
    }

    /// Waits until there are bytes, the end of the stream, or an error. May be ready without any of them.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Reads available bytes. Zero bytes mean that the peer has closed the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Sends as many bytes as the kernel accepts; pending until it accepts at least one.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            // Uses tokio, so that `WouldBlock` clears the readiness flag.
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Closes the sending direction.
    pub(crate) fn shutdown(&self) {
        let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Reads available bytes. If they do not fill the buffer, there are no more, and the stream counts as not ready from
    /// then on. The next read therefore waits at once, without a system call that would fail. Tokio's `poll_read` does the
    /// same; it needs a mutable reference.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
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

impl Transport for TcpPeer {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // Bypasses tokio, because `try_write` returns `WouldBlock` until the driver has polled the socket
        // for the first time.
        SockRef::from(&self.stream).send(bytes)
    }

    fn wake_owner(&self) {
        self.owner.wake();
    }
}
