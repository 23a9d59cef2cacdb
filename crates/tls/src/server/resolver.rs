//! Chooses the certificate of a handshake by the host name that the client requests.

use std::sync::{Arc, RwLock};

use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::{Certificate, CertificateError};
use super::names::NameTable;

/// The protocol of an authority that verifies a domain (TLS-ALPN-01, RFC 8737), as ALPN names it. A server that answers
/// challenges has it among the `alpn_protocols` of its configuration.
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// The certificates of a server, which can be replaced at any time.
///
/// A client that requests a host gets the certificate with its name, or the one with a wildcard that covers it. Other
/// clients, also those that connect to an IP address, get the first certificate. An authority that verifies a domain
/// (TLS-ALPN-01) gets the answer to its challenge.
#[derive(Debug, Default)]
pub struct ServedCertificates {
    set: RwLock<Set>,
    challenges: RwLock<NameTable<Arc<CertifiedKey>>>,
}

#[derive(Debug, Default)]
struct Set {
    by_name: NameTable<Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ServedCertificates {
    /// Serves `certificates`. Without any, all handshakes fail.
    pub fn new(certificates: &[Certificate]) -> Self {
        let served = ServedCertificates::default();
        served.set(certificates);
        served
    }

    /// Replaces all certificates. Handshakes that begin from now on use the new ones.
    pub fn set(&self, certificates: &[Certificate]) {
        let first = certificates.first().map(|first| first.key.clone());
        let mut set = Set { first, ..Set::default() };
        for certificate in certificates {
            certificate.names().iter().for_each(|name| set.by_name.add(name, certificate.key.clone()));
        }
        *self.set.write().expect("no code that holds the certificates panics") = set;
    }

    /// Answers the challenge for a domain with a certificate in DER and its key in PKCS #8.
    pub fn add_challenge(
        &self,
        domain: &str,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<(), CertificateError> {
        let key = PrivatePkcs8KeyDer::from(key.to_vec()).into();
        let key = any_supported_type(&key).map_err(CertificateError::Key)?;
        // Not checked, because of its critical extension, which only authorities know.
        let answer = CertifiedKey::new(vec![certificate.to_vec().into()], key);
        let mut challenges = self.challenges.write().expect("no code that holds the challenges panics");
        challenges.add(domain, Arc::new(answer));
        Ok(())
    }

    /// Answers no challenge any more.
    pub fn clear_challenges(&self) {
        *self.challenges.write().expect("no code that holds the challenges panics") = NameTable::default();
    }

    fn find_challenge(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let challenges = self.challenges.read().expect("no code that holds the challenges panics");
        challenges.find(name?).cloned()
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let set = self.set.read().expect("no code that holds the certificates panics");
        name.and_then(|name| set.by_name.find(name)).or(set.first.as_ref()).cloned()
    }
}

impl ResolvesServerCert for ServedCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello
            .alpn()
            .is_some_and(|mut names| names.next() == Some(ACME_TLS_ALPN) && names.next().is_none());
        match is_challenge {
            true => self.find_challenge(hello.server_name()),
            false => self.find(hello.server_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn certificate(name: &str) -> Certificate {
        let made = generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        Certificate::from_pem(made.cert.pem().as_bytes(), key.as_bytes()).unwrap()
    }

    #[test]
    fn a_host_gets_its_certificate_and_any_other_the_first() {
        let [one, two] = ["one.example", "*.two.example"].map(certificate);
        let served = ServedCertificates::new(&[one.clone(), two.clone()]);
        for (name, expected) in [
            (Some("one.example"), &one),
            (Some("a.two.example"), &two),
            (Some("two.example"), &one),
            (Some("three.example"), &one),
            (None, &one),
        ] {
            assert!(Arc::ptr_eq(&served.find(name).unwrap(), &expected.key), "{name:?}");
        }
        served.set(std::slice::from_ref(&two));
        assert!(Arc::ptr_eq(&served.find(Some("one.example")).unwrap(), &two.key));
        served.set(&[]);
        assert!(served.find(Some("one.example")).is_none());
    }
}
