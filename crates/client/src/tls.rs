//! TLS for `wss://`.
//!
//! The client trusts Mozilla's roots, which are compiled in, and the root certificates of the options. The crypto
//! provider is explicit rather than the process default, which another crate may have set.

#[cfg(feature = "tls")]
pub(crate) use with_rustls::{connect_error, connector};
#[cfg(not(feature = "tls"))]
pub(crate) use without::{connect_error, connector};

#[cfg(feature = "tls")]
mod with_rustls {
    use std::error::Error;
    use std::sync::Arc;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto::ring};
    use tokio_websockets::Connector;

    use crate::error::ConnectError;
    use crate::options::Options;

    pub(crate) fn connector(options: &Options) -> Result<Connector, ConnectError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &options.root_certificates {
            add(&mut roots, certificate).map_err(ConnectError::RootCertificate)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for every version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Connector::Rustls(TlsConnector::from(Arc::new(config))))
    }

    /// Adds one certificate in DER, or any number in PEM.
    fn add(roots: &mut RootCertStore, file: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        const PEM: &[u8] = b"-----BEGIN ";
        if !file.windows(PEM.len()).any(|window| window == PEM) {
            return Ok(roots.add(file.into())?);
        }
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(file) {
            roots.add(certificate?)?;
        }
        if roots.len() == before { Err("no certificate found".into()) } else { Ok(()) }
    }

    /// Separates untrusted certificates from other errors.
    pub(crate) fn connect_error(error: tokio_websockets::Error) -> ConnectError {
        match tls_error(&error) {
            Some(cause @ rustls::Error::InvalidCertificate(_)) => {
                ConnectError::Certificate(Box::new(cause.clone()))
            }
            _ => ConnectError::Failed(Box::new(error)),
        }
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
