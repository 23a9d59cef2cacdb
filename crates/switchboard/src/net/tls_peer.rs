//! A TLS stream on TCP that one task reads and any thread may send on.
//!
//! A send encrypts in the thread that sends, and passes the ciphertext to the kernel at once. What the kernel does not
//! accept is kept: at most [`SEND_BYTES`] and what the records add. The owner sends it when the kernel is ready.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use switchboard_hub::Transport;
use switchboard_tls::rustls::ServerConfig;
use tokio::net::TcpStream;

use crate::net::tcp_peer::TcpPeer;
use crate::net::tls_session::{TlsError, TlsSession};

/// Plaintext that is encrypted before each send: two full records.
const SEND_BYTES: usize = 32 * 1024;

/// Ciphertext of one read, for a reader with a small buffer.
const READ_BYTES_MIN: usize = 4 * 1024;

/// A TLS stream, and the waker of the task that reads it.
pub(crate) struct TlsPeer {
    tcp: TcpPeer,
    session: Mutex<TlsSession>,
    /// The session has ciphertext that the kernel has not accepted.
    has_unsent: AtomicBool,
}

/// Ciphertext on its way, shared by the connections of a thread.
#[derive(Default)]
struct Ciphertext {
    received: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    static CIPHERTEXT: Cell<Option<Box<Ciphertext>>> = const { Cell::new(None) };
}

fn with_ciphertext<T>(work: impl FnOnce(&mut Ciphertext) -> T) -> T {
    let mut ciphertext = CIPHERTEXT.take().unwrap_or_default();
    let result = work(&mut ciphertext);
    ciphertext.out.clear();
    CIPHERTEXT.set(Some(ciphertext));
    result
}

impl TlsPeer {
    /// A stream before its handshake.
    pub(crate) fn new(stream: TcpStream, config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        let session = Mutex::new(TlsSession::new(config)?);
        Ok(TlsPeer { tcp: TcpPeer::new(stream), session, has_unsent: AtomicBool::new(false) })
    }

    fn session(&self) -> MutexGuard<'_, TlsSession> {
        self.session.lock().expect("no code that holds a session panics")
    }

    /// Waits for bytes of the peer.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.tcp.poll_readable(cx)).await
    }

    /// Processes available bytes of the handshake. Returns true if it is complete; answers may have to be sent still.
    pub(crate) fn advance_handshake(&self) -> io::Result<bool> {
        match self.receive(&mut []) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let session = self.session();
        match session.is_peer_closed && session.is_handshaking() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(!session.is_handshaking()),
        }
    }

    /// Returns true if the handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.session().is_resumed()
    }

    /// Registers the current task to be woken by [`Transport::wake_owner`].
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.tcp.register(cx);
    }

    /// Reads available plaintext. Zero bytes mean that the peer has closed the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let rest = self.take_unread(|unread| unread.read(buffer).unwrap_or(0));
            if let Some(rest) = rest {
                return Poll::Ready(Ok(rest));
            }
            ready!(self.tcp.poll_readable(cx))?;
            match self.receive(buffer) {
                Ok(0) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Reads at most `max` bytes of available plaintext, and passes them to `take`. None mean that the peer has closed the
    /// stream.
    pub(crate) fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        max: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        loop {
            let taken = self.take_unread(|unread| {
                let first = unread.as_slices().0;
                let len = first.len().min(max);
                take(&first[..len]);
                unread.drain(..len);
            });
            if taken.is_some() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.tcp.poll_readable(cx))?;
            match self.receive(&mut []) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    /// Takes plaintext that was decrypted before. `None` if there is none, and the peer may send more.
    fn take_unread<T>(&self, take: impl FnOnce(&mut VecDeque<u8>) -> T) -> Option<T> {
        let mut session = self.session();
        if session.unread.is_empty() && !session.is_peer_closed {
            return None;
        }
        let taken = take(&mut session.unread);
        if session.unread.is_empty() {
            session.unread = VecDeque::new();
        }
        Some(taken)
    }

    /// Reads once from the kernel and decrypts. Returns the length of the plaintext in `buffer`; zero if no record has
    /// become complete or the peer has closed the stream.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        with_ciphertext(|Ciphertext { received, out }| {
            let mut session = self.session();
            let read_max = buffer.len().max(READ_BYTES_MIN);
            let start = session.begin_receive(received, read_max);
            let read = self.tcp.read(&mut received[start..start + read_max]);
            let new = *read.as_ref().unwrap_or(&0);
            session.is_peer_closed |= matches!(read, Ok(0));
            let outcome = session.receive(&mut received[..start + new], new, buffer, out);
            self.send_out(&mut session, out)?;
            read?;
            Ok(outcome?)
        })
    }

    /// Returns true if the kernel has not accepted everything.
    pub(crate) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire)
    }

    /// Sends the ciphertext that the kernel has not accepted yet.
    pub(crate) fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_unsent() {
            return Poll::Ready(Ok(()));
        }
        let mut session = self.session();
        while !session.unsent.is_empty() {
            match ready!(self.tcp.poll_send(cx, session.unsent.as_slices().0)) {
                Ok(sent) => drop(session.unsent.drain(..sent)),
                Err(error) => {
                    self.clear_unsent(&mut session);
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.clear_unsent(&mut session);
        Poll::Ready(Ok(()))
    }

    /// Encrypts and sends as many bytes as the kernel accepts; pending until it accepts at least one.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_unsent(cx))?;
            match self.send(bytes) {
                // Another thread has sent meanwhile.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Sends everything, then the notice of TLS that nothing follows, and closes the sending direction.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_ciphertext(|Ciphertext { out, .. }| {
            let mut session = self.session();
            session.close(out);
            self.send_out(&mut session, out)
        })?;
        ready!(self.poll_unsent(cx))?;
        self.tcp.shutdown();
        Poll::Ready(Ok(()))
    }

    /// Sends ciphertext, and keeps the bytes that the kernel does not accept.
    fn send_out(&self, session: &mut TlsSession, out: &[u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let sent = match session.unsent.is_empty() {
            true => match self.tcp.send(out) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                sent => sent.unwrap_or(0),
            },
            false => 0,
        };
        if sent < out.len() {
            session.unsent.extend(&out[sent..]);
            self.has_unsent.store(true, Ordering::Release);
            self.tcp.wake_owner();
        }
        Ok(())
    }

    fn clear_unsent(&self, session: &mut TlsSession) {
        session.unsent = VecDeque::new();
        self.has_unsent.store(false, Ordering::Release);
    }
}

impl Transport for TlsPeer {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        with_ciphertext(|Ciphertext { out, .. }| {
            let mut session = self.session();
            let mut accepted = 0;
            for part in bytes.chunks(SEND_BYTES) {
                if !session.unsent.is_empty() {
                    break;
                }
                out.clear();
                session.encrypt(part, out)?;
                self.send_out(&mut session, out)?;
                accepted += part.len();
            }
            if accepted == 0 && !bytes.is_empty() {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(accepted)
            }
        })
    }

    fn wake_owner(&self) {
        self.tcp.wake_owner();
    }
}
