//! The client over TLS. TLS is terminated in front of a real server, as by a proxy.

#![cfg(feature = "tls")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::{Value, json};
use switchboard::{App, Data, Reply};
use switchboard_client::{Client, ConnectError, Options};
use switchboard_testkit::{TestServer, soon};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Serves an app over TLS with a self-signed certificate.
struct SecureServer {
    url: String,
    certificate: rcgen::Certificate,
    _app: TestServer,
}

impl SecureServer {
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn start(host: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_owned()]).unwrap();
        let acceptor = acceptor(&cert, &signing_key);
        let app = App::new().on("/echo", async |Data(data): Data<Value>| Reply(data));
        let app = TestServer::start(app).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        let address = app.address;
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(terminate(acceptor.clone(), stream, address));
            }
        });
        SecureServer { url, certificate: cert, _app: app }
    }

    /// Options that trust the certificate of this server.
    fn trusting_options(&self) -> Options {
        Options::default().with_root_certificate(self.certificate.pem())
    }
}

fn acceptor(certificate: &rcgen::Certificate, key: &KeyPair) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Forwards one connection. A failed TLS handshake is the expected result of some tests.
async fn terminate(acceptor: TlsAcceptor, stream: TcpStream, app: SocketAddr) {
    let Ok(mut secure) = acceptor.accept(stream).await else { return };
    let mut plain = TcpStream::connect(app).await.unwrap();
    let _ = copy_bidirectional(&mut secure, &mut plain).await;
}

fn cause(error: &ConnectError) -> String {
    error.source().expect("the error has a source").to_string()
}

#[tokio::test]
async fn a_client_connects_over_tls_with_a_root_certificate_of_the_options() {
    let server = SecureServer::start("127.0.0.1").await;
    let client = Client::connect_with(&server.url, server.trusting_options()).await.unwrap();
    let long = "x".repeat(500_000);
    for data in [json!(1), json!(long), json!({ "text": "hi" })] {
        assert_eq!(client.request::<Value>("/echo", &data).await.unwrap(), data);
    }
    soon("the client closes", client.close()).await;
}

#[tokio::test]
async fn a_root_certificate_may_be_pem_or_der_and_one_of_several() {
    let (server, other) = (SecureServer::start("127.0.0.1").await, SecureServer::start("other.test").await);
    let both = [other.certificate.pem(), server.certificate.pem()].concat();
    let der = server.certificate.der().to_vec();
    for options in [
        Options::default().with_root_certificate(both),
        Options::default().with_root_certificate(der.clone()),
        other.trusting_options().with_root_certificate(der),
    ] {
        let client = Client::connect_with(&server.url, options).await.unwrap();
        assert_eq!(client.request::<u32>("/echo", &7).await.unwrap(), 7);
    }
}

#[tokio::test]
async fn a_certificate_without_a_trusted_root_is_refused() {
    let (server, other) = (SecureServer::start("127.0.0.1").await, SecureServer::start("127.0.0.1").await);
    for options in [Options::default(), other.trusting_options()] {
        let error = Client::connect_with(&server.url, options).await.err().unwrap();
        assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
        assert!(cause(&error).starts_with("invalid peer certificate: "), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let server = SecureServer::start("other.test").await;
    let error = Client::connect_with(&server.url, server.trusting_options()).await.err().unwrap();
    assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
    assert!(cause(&error).contains("not valid for name"), "{error:?}");
}

#[tokio::test]
async fn an_invalid_root_certificate_fails_the_connect_before_anything_is_sent() {
    let garbled = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let no_certificate = "-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n";
    for root in ["", "no certificate", garbled, no_certificate] {
        let options = Options::default().with_root_certificate(root);
        // A port without a listener.
        let error = Client::connect_with("wss://127.0.0.1:1", options).await.err().unwrap();
        assert!(matches!(error, ConnectError::RootCertificate(_)), "{root}: {error:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_unencrypted_to_a_wss_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The first byte of a TLS handshake record. The connection is dropped afterwards.
        assert_eq!(stream.read_u8().await.unwrap(), 22);
    };
    let (client, ()) = soon("both sides end", async { tokio::join!(Client::connect(&url), server) }).await;
    assert!(matches!(client.err().unwrap(), ConnectError::Failed(_)));
}
