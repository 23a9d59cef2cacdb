//! A TLS proxy with a self-signed certificate in front of a plain server.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

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
