//! TLS of a listener: its configuration, which can be replaced, and the handshake.

use std::sync::{Arc, RwLock};
use std::time::Duration;
use std::{io, thread};

use metrics::counter;
use switchboard_tls::rustls::ServerConfig;
use switchboard_tls::server::{
    Certificate, CertificateError, ServedCertificates, ServerConfigError, server_config,
};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::net::tls_peer::TlsPeer;
use crate::net::transport::PeerStream;

/// The first byte of a TLS record with a handshake message (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The answer to a client that sends plain HTTP.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 58\r\n\
    connection: close\r\n\r\nthis port is encrypted; use an https:// or wss:// address\n";

/// Longest time for a client with plain HTTP to read the answer.
const PLAIN_HTTP_TIMEOUT: Duration = Duration::from_secs(1);

/// TLS for [`Serve::with_tls`](crate::net::Serve::with_tls): a certificate for the server, TLS 1.2 and 1.3. Clones share one
/// configuration, which can be replaced at any time.
///
/// ```no_run
/// use switchboard::net::Tls;
/// use switchboard::{App, serve};
///
/// # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::from_pem(std::fs::read("fullchain.pem")?, std::fs::read("privkey.pem")?)?;
/// serve(listener, App::new()).with_tls(tls.clone()).await?;
/// // `tls.replace(…)` elsewhere renews the certificate; open connections stay open.
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    config: RwLock<Arc<ServerConfig>>,
    /// Handshakes that may compute at the same time. Others wait in a fair queue and do not delay open connections, also
    /// if thousands of clients reconnect at once.
    computing: Semaphore,
}

/// Why a certificate cannot be used by [`Tls::from_pem`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsError(TlsErrorKind);

#[derive(Debug, thiserror::Error)]
enum TlsErrorKind {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Config(#[from] ServerConfigError),
}

impl<E: Into<TlsErrorKind>> From<E> for TlsError {
    fn from(error: E) -> Self {
        TlsError(error.into())
    }
}

impl Tls {
    /// TLS with one certificate and its chain, and the private key, both in PEM.
    ///
    /// # Errors
    /// If one of them cannot be read, or if the key does not belong to the certificate.
    pub fn from_pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let certificate = Certificate::from_pem(certificates.as_ref(), key.as_ref())?;
        let config = server_config(Arc::new(ServedCertificates::new(&[certificate])), None)?;
        Ok(Tls::new(Arc::new(config)))
    }

    /// TLS with a configuration of your own, for example with a certificate for each host name, or for clients with
    /// certificates. Its `alpn_protocols` may have `http/1.1` only. `ServerConfig` is the one of `rustls` 0.23.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Tls(Arc::new(Shared { config: RwLock::new(config), computing: Semaphore::new(workers) }))
    }

    /// Replaces the configuration for all clones. It applies to handshakes that begin from now on; open connections stay
    /// open.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.config.write().expect("no code that holds the configuration panics") = config;
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.0.config.read().expect("no code that holds the configuration panics").clone()
    }

    /// Performs the handshake. Never ends if the client sends nothing: the caller has the time-out.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Arc<TlsPeer>> {
        if is_plain_http(&stream).await? {
            PeerStream::tcp(stream).send_and_close(PLAIN_HTTP, PLAIN_HTTP_TIMEOUT).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client sent plain HTTP"));
        }
        let peer = TlsPeer::new(stream, self.config())?;
        loop {
            peer.readable().await?;
            let is_complete = {
                let _permit = self.0.computing.acquire().await.expect("the semaphore is never closed");
                peer.advance_handshake()?
            };
            std::future::poll_fn(|cx| peer.poll_unsent(cx)).await?;
            if is_complete {
                let kind = if peer.is_resumed() { "resumed" } else { "full" };
                counter!("switchboard_tls_handshakes_total", "kind" => kind).increment(1);
                return Ok(Arc::new(peer));
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Returns true if the first byte of a client is not that of a TLS handshake, but one of a method.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [HANDSHAKE_RECORD];
    stream.peek(&mut first).await?;
    Ok(first[0].is_ascii_uppercase())
}
