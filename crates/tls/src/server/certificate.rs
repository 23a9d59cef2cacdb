//! A certificate with its chain and its key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, Error, InconsistentKeys};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// A certificate with its chain and its key, which have been checked to belong together.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificates are damaged.
    #[error("the certificate is not valid PEM")]
    CertificatePem(#[source] pem::Error),
    /// There is no certificate.
    #[error("the file of the certificate contains none; it begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The PEM is valid, and its content is not a certificate.
    #[error("the certificate is damaged")]
    Certificate,
    /// The key is damaged.
    #[error("the private key is not valid PEM")]
    KeyPem(#[source] pem::Error),
    /// There is no key without a passphrase.
    #[error("the file of the key contains no private key without a passphrase, in PKCS #8, PKCS #1 or SEC 1")]
    NoKey,
    /// The key is of a kind that cannot sign here.
    #[error("the private key cannot be used; expected RSA with at least 2048 bits, P-256, P-384 or Ed25519")]
    Key(#[source] Error),
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Certificate {
    /// Reads a certificate with its chain, and its key, both in PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(CertificateError::CertificatePem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => CertificateError::NoKey,
            error => CertificateError::KeyPem(error),
        })?;
        Certificate::new(chain, key)
    }

    /// Lets a client show this certificate to servers that ask for one.
    pub fn show_in(&self, config: &mut ClientConfig) {
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(self.key.clone()));
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (_, parsed) = parse_x509_certificate(first).map_err(|_| CertificateError::Certificate)?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let validity = parsed.validity();
        let (names, not_before, not_after) =
            (names.collect(), time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
                Error::InvalidCertificate(_) => CertificateError::Certificate,
                error => CertificateError::Key(error),
            })?;
        Ok(Certificate { key: Arc::new(key), names, not_before, not_after })
    }

    /// The host names for which it is valid; a wildcard begins with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The time before which clients refuse it.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The time after which clients refuse it.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// The time of a number of seconds since 1970; earlier times count as 1970.
fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, KeyPair, generate_simple_self_signed};

    use super::*;

    fn generated(names: &[&str]) -> Generated<KeyPair> {
        generate_simple_self_signed(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn names_and_validity_are_read() {
        let Generated { cert, signing_key } = generated(&["a.example", "*.b.example", "127.0.0.1"]);
        let pem = cert.pem() + &generated(&["chain"]).cert.pem();
        let read = Certificate::from_pem(pem.as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
        assert_eq!(read.names(), ["a.example", "*.b.example"]);
        assert!(read.not_before() < SystemTime::now() && SystemTime::now() < read.not_after());
    }

    #[test]
    fn a_certificate_and_a_key_that_cannot_be_used_are_told_apart() {
        let (one, two) = (generated(&["one"]), generated(&["two"]));
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let damaged = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
        let no_pem = |kind: &str| format!("-----BEGIN {kind}-----\n*\n-----END {kind}-----\n");
        for (cert, key, expected) in [
            (&*cert, &*two.signing_key.serialize_pem(), "does not belong to the certificate"),
            (&*key, &*key, "contains none; it begins with -----BEGIN CERTIFICATE-----"),
            ("", &*key, "contains none"),
            (&*cert, &*cert, "contains no private key"),
            (&*cert, "", "contains no private key"),
            (&*cert, &*damaged("ENCRYPTED PRIVATE KEY"), "contains no private key without a passphrase"),
            (&*damaged("CERTIFICATE"), &*key, "the certificate is damaged"),
            (&*no_pem("CERTIFICATE"), &*key, "the certificate is not valid PEM"),
            (&*cert, &*damaged("PRIVATE KEY"), "the private key cannot be used; expected RSA"),
            (&*cert, &*no_pem("PRIVATE KEY"), "the private key is not valid PEM"),
        ] {
            let error = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
