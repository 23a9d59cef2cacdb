//! Chooses the certificate of a handshake by the host name that the client requests.

use std::sync::{Arc, RwLock};

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::names::NameTable;

/// The certificates of a server, which can be replaced at any time.
///
/// A client that requests a host gets the certificate with its name, or the one with a wildcard that covers it. Other
/// clients, also those that connect to an IP address, get the first certificate.
#[derive(Debug, Default)]
pub struct ServedCertificates(RwLock<Set>);

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
        *self.0.write().expect("no code that holds the certificates panics") = set;
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let set = self.0.read().expect("no code that holds the certificates panics");
        name.and_then(|name| set.by_name.find(name)).or(set.first.as_ref()).cloned()
    }
}

impl ResolvesServerCert for ServedCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
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
