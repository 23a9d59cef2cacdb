//! TLS for all of Switchboard: one crypto provider, one set of trusted roots, and the configuration of servers.
//!
//! The provider is ring. The roots are Mozilla's, compiled in, so that connections work the same on every machine and
//! in a container without certificates. A caller may add roots of its own. The certificates of servers are in
//! `server`, behind the feature of that name.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[cfg(feature = "server")]
pub mod server;
mod unverified;

pub use tokio_rustls::rustls;

/// Why a root certificate was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RootCertificateError {
    /// The file is PEM, but cannot be read.
    #[error("the root certificate is not valid PEM")]
    Pem(#[source] pem::Error),
    /// The file is PEM without a certificate, for example a private key.
    #[error("the file contains no certificate")]
    NoCertificate,
    /// The certificate itself is damaged.
    #[error("the root certificate is not valid")]
    Certificate(#[source] rustls::Error),
}

/// Settings for a client that trusts Mozilla's roots and `additional_roots`.
///
/// Each additional root is one certificate in DER, or any number of certificates in PEM.
pub fn client_config<R: AsRef<[u8]>>(additional_roots: &[R]) -> Result<ClientConfig, RootCertificateError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for file in additional_roots {
        add(&mut roots, file.as_ref())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for every version");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Settings for a client that accepts any certificate, for a server on this machine that it reaches by another name than
/// the certificate's. Whatever it sends and receives must be neither secret nor trusted.
pub fn unverified_client_config() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for every version");
    let verifier = Arc::new(unverified::Unverified(provider));
    config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

/// Makes ring the process's crypto provider, unless there is one already.
///
/// For crates that ask rustls for the process's provider; rustls panics if there is none to choose.
pub fn install_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread has just installed one, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

fn add(roots: &mut RootCertStore, file: &[u8]) -> Result<(), RootCertificateError> {
    const PEM: &[u8] = b"-----BEGIN ";
    if !file.windows(PEM.len()).any(|window| window == PEM) {
        return roots.add(file.into()).map_err(RootCertificateError::Certificate);
    }
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(file) {
        let certificate = certificate.map_err(RootCertificateError::Pem)?;
        roots.add(certificate).map_err(RootCertificateError::Certificate)?;
    }
    if roots.len() == before { Err(RootCertificateError::NoCertificate) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn certificate(host: &str) -> CertifiedKey<rcgen::KeyPair> {
        generate_simple_self_signed([host.to_owned()]).unwrap()
    }

    #[test]
    fn roots_are_accepted_in_der_and_in_pem() {
        let (one, two) = (certificate("one.test").cert, certificate("two.test").cert);
        client_config(&[one.der().to_vec(), (one.pem() + &two.pem()).into_bytes()]).unwrap();
        client_config::<&[u8]>(&[]).unwrap();
    }

    #[test]
    fn a_file_without_a_valid_certificate_is_an_error() {
        let key = certificate("one.test").signing_key.serialize_pem();
        let damaged = "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n";
        let error = |file: &str| client_config(&[file]).unwrap_err();
        assert!(matches!(error(&key), RootCertificateError::NoCertificate));
        assert!(matches!(error(damaged), RootCertificateError::Pem(_)));
        assert!(matches!(error("not a certificate"), RootCertificateError::Certificate(_)));
    }
}
