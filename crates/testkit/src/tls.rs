//! Certificates, clients that trust them, and a TLS proxy in front of a plain server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A self-signed certificate with its key, both in PEM. It is its own root.
pub struct TestCertificate {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
    der: CertificateDer<'static>,
}

impl TestCertificate {
    /// A certificate for these hosts, valid for an hour.
    pub fn new(hosts: &[&str]) -> Self {
        TestCertificate::valid_until(hosts, SystemTime::now() + Duration::from_secs(3600))
    }

    /// A certificate for these hosts, valid until a time.
    pub fn valid_until(hosts: &[&str], end: SystemTime) -> Self {
        TestCertificate::generate(hosts, end, IsCa::NoCa)
    }

    /// A certificate for these hosts that is one of an authority, so no client accepts it as that of a server.
    pub fn of_authority(hosts: &[&str]) -> Self {
        let end = SystemTime::now() + Duration::from_secs(3600);
        TestCertificate::generate(hosts, end, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn generate(hosts: &[&str], end: SystemTime, is_ca: IsCa) -> Self {
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.not_before = SystemTime::UNIX_EPOCH.into();
        params.not_after = end.into();
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        TestCertificate { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().clone() }
    }

    /// Writes both to files.
    pub fn write(&self, cert: &str, key: &str) {
        std::fs::write(cert, &self.cert).expect("the folder is the test's own");
        std::fs::write(key, &self.key).expect("the folder is the test's own");
    }

    /// The certificate as a client receives it.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The configuration of a client that trusts this certificate only.
    pub fn client(&self) -> Arc<ClientConfig> {
        trusting(&[self])
    }

    /// The configuration of a client that has this certificate and trusts another one only.
    pub fn client_of(&self, trusted: &TestCertificate) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).expect("the certificate is valid");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("the key is PEM");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for every version")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.der.clone()], key)
            .expect("the key belongs to the certificate");
        Arc::new(config)
    }
}

/// The configuration of a client that trusts these certificates only.
pub fn trusting(certificates: &[&TestCertificate]) -> Arc<ClientConfig> {
    let roots: Vec<&[u8]> = certificates.iter().map(|certificate| certificate.cert.as_bytes()).collect();
    Arc::new(switchboard_tls::client_config(&roots).expect("the certificates are valid"))
}

/// Terminates TLS and forwards the bytes of each connection.
pub struct TlsProxy {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// The certificate, which is its own root.
    pub certificate: rcgen::Certificate,
}

impl TlsProxy {
    /// Starts a proxy to `server` with a certificate for `host`.
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    pub async fn start(host: &str, server: SocketAddr) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(terminate(acceptor.clone(), stream, server));
            }
        });
        TlsProxy { address, certificate: cert }
    }
}

/// Forwards one connection. A failed TLS handshake is the expected result of some tests.
async fn terminate(acceptor: TlsAcceptor, stream: TcpStream, server: SocketAddr) {
    let Ok(mut secure) = acceptor.accept(stream).await else { return };
    let mut plain = TcpStream::connect(server).await.unwrap();
    let _ = copy_bidirectional(&mut secure, &mut plain).await;
}
