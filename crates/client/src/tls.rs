//! TLS for `wss://`.
//!
//! The client trusts the roots of [`switchboard_tls`] and the root certificates of the options.

#[cfg(feature = "tls")]
pub(crate) use with_rustls::{connect_error, connector};
#[cfg(not(feature = "tls"))]
pub(crate) use without::{connect_error, connector};

#[cfg(feature = "tls")]
mod with_rustls {
    use std::sync::Arc;

    use tokio_rustls::{TlsConnector, rustls};
    use tokio_websockets::Connector;

    use crate::error::ConnectError;
    use crate::options::Options;

    pub(crate) fn connector(options: &Options) -> Result<Connector, ConnectError> {
        let config = switchboard_tls::client_config(&options.root_certificates)
            .map_err(|error| ConnectError::RootCertificate(error.into()))?;
        Ok(Connector::Rustls(TlsConnector::from(Arc::new(config))))
    }

    /// Separates untrusted certificates from other errors.
    pub(crate) fn connect_error(error: tokio_websockets::Error) -> ConnectError {
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(cause)) if is_of_an_authority(cause) => {
                ConnectError::Certificate(Box::new(CertificateOfAuthority))
            }
            Some(cause @ rustls::Error::InvalidCertificate(_)) => {
                ConnectError::Certificate(Box::new(cause.clone()))
            }
            _ => ConnectError::Failed(Box::new(error)),
        }
    }

    /// The server shows the certificate of an authority, as `openssl req -x509` makes it by default.
    #[derive(Debug, thiserror::Error)]
    #[error(
        "the server's certificate is that of a certificate authority; make one for servers, with openssl's option \
         -addext basicConstraints=critical,CA:FALSE"
    )]
    struct CertificateOfAuthority;

    /// rustls passes this error of its verifier on without a type of its own.
    fn is_of_an_authority(error: &rustls::CertificateError) -> bool {
        format!("{error:?}").contains("CaUsedAsEndEntity")
    }

    /// tokio-rustls wraps its errors in I/O errors.
    fn tls_error(error: &tokio_websockets::Error) -> Option<&rustls::Error> {
        match error {
            tokio_websockets::Error::Io(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use tokio_websockets::Connector;

    use crate::error::ConnectError;
    use crate::options::Options;

    /// Always an error: without TLS, tokio-websockets would connect to `wss://` unencrypted (its `src/tls.rs`,
    /// `Connector::new`).
    pub(crate) fn connector(_: &Options) -> Result<Connector, ConnectError> {
        Err(ConnectError::Tls)
    }

    pub(crate) fn connect_error(error: tokio_websockets::Error) -> ConnectError {
        ConnectError::Failed(Box::new(error))
    }
}
