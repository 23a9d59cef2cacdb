//! Why the server cannot use TLS.

use switchboard_tls::server::ServerConfigError;

use crate::config::TlsFileError;

/// Why the server cannot use TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The files of a certificate cannot be used.
    #[error(transparent)]
    File(#[from] TlsFileError),
    /// The configuration of TLS cannot be made.
    #[error("TLS cannot be used")]
    Config(#[from] ServerConfigError),
    /// The certificate authorities of backends cannot be read.
    #[error("the file of api.client_ca_file cannot be read")]
    ClientRoots(#[source] std::io::Error),
    /// Certificates cannot be obtained.
    #[error("tls.acme cannot be used")]
    Acme(#[source] Box<dyn std::error::Error + Send + Sync>),
}
