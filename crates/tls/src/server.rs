//! The configuration of a server: TLS 1.2 and 1.3, with a certificate for each host name.
//!
//! [`ServedCertificates`] can be replaced while connections are open: a handshake takes the certificate that is current
//! when it begins, and open connections keep their keys. Sessions are resumed with tickets, which only the client stores.

mod certificate;
mod names;
mod resolver;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::{self, Ticketer};
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ResolvesServerCert, ServerConfig, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, RootCertStore};

pub use certificate::{Certificate, CertificateError};
pub use resolver::{ACME_TLS_ALPN, ServedCertificates};

use crate::{RootCertificateError, add};

/// The protocol of plain requests and of WebSocket handshakes, as ALPN names it.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a server cannot use TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerConfigError {
    /// The certificate authorities of clients cannot be read.
    #[error(transparent)]
    ClientRoots(#[from] RootCertificateError),
    /// The certificate authorities of clients cannot be used.
    #[error("the certificate authorities of clients cannot be used")]
    Verifier(#[from] VerifierBuilderError),
    /// The system has no random numbers.
    #[error("keys for session tickets cannot be made")]
    Tickets(#[source] rustls::Error),
}

/// The configuration of a server with certificates from `certificates`.
///
/// With `client_roots`, certificate authorities in DER or PEM, only clients with a certificate of one of them can connect.
pub fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
    client_roots: Option<&[u8]>,
) -> Result<ServerConfig, ServerConfigError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for every version");
    let builder = match client_roots {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            add(&mut roots, file)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    // Tickets hold the state of a session at the client, so sessions that can be resumed need no memory here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(ServerConfigError::Tickets)?;
    Ok(config)
}
