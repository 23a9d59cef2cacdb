//! The client over TLS. TLS is terminated in front of a real server, as by a proxy.

use std::error::Error;

use serde_json::{Value, json};
use switchboard::{App, Data, Reply};
use switchboard_client::{Client, ConnectError, Options};
use switchboard_testkit::{TestServer, TlsProxy, soon};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Serves an app over TLS with a self-signed certificate.
struct SecureServer {
    url: String,
    proxy: TlsProxy,
    _app: TestServer,
}

impl SecureServer {
    async fn start(host: &str) -> Self {
        let app = App::new().on("/echo", async |Data(data): Data<Value>| Reply(data));
        let app = TestServer::start(app).await;
        let proxy = TlsProxy::start(host, app.address).await;
        SecureServer { url: format!("wss://{}/", proxy.address), proxy, _app: app }
    }

    /// Options that trust the certificate of this server.
    fn trusting_options(&self) -> Options {
        Options::default().with_root_certificate(self.proxy.certificate.pem())
    }
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
    let both = [other.proxy.certificate.pem(), server.proxy.certificate.pem()].concat();
    let der = server.proxy.certificate.der().to_vec();
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
