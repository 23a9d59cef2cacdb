//! TLS of the server itself: the same protocols, limits and direct sends as without it.

#![expect(clippy::disallowed_methods, reason = "a test's own tasks")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::net::Tls;
use switchboard::{App, ConnectionInfo, Data, Limits, Reply, ReplyError, Socket, serve, serve_http};
use switchboard_testkit::tls::trusting;
use switchboard_testkit::{Peer, RawPeer, TestCertificate, soon, until};
use switchboard_tls::rustls::version::{TLS12, TLS13};
use switchboard_tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use switchboard_tls::server::{Certificate, ServedCertificates, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An app with TLS on a free port.
struct SecureServer {
    address: SocketAddr,
    app: App,
    tls: Tls,
    certificate: TestCertificate,
}

impl SecureServer {
    async fn start(app: App) -> Self {
        let certificate = TestCertificate::new(&["localhost", "127.0.0.1"]);
        let tls = Tls::from_pem(&certificate.cert, &certificate.key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, app.clone()).with_tls(tls.clone());
        tokio::spawn(async move { serving.await });
        SecureServer { address, app, tls, certificate }
    }

    async fn connect(&self) -> Peer {
        self.try_connect(&self.certificate).await.unwrap()
    }

    async fn try_connect(&self, trusted: &TestCertificate) -> Result<Peer, String> {
        Peer::try_connect_tls(&format!("wss://{}/", self.address), &trusted.client()).await
    }

    /// Connects without a request.
    async fn stream(&self, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await
    }
}

/// Joins every client to a room, and sends each of its events to the room.
fn rooms() -> App {
    App::new()
        .on("/join", join)
        .on("/all", send_to_all)
        .on("/echo", async |Data(data): Data<Value>| Reply(data))
        .on("/secure", async |info: ConnectionInfo| Reply(info.secure()))
}

async fn join(socket: Socket) -> Result<(), ReplyError> {
    socket.join("#all")?;
    Ok(())
}

async fn send_to_all(socket: Socket, Data(data): Data<Value>) -> Result<(), ReplyError> {
    socket.to("#all").emit("all", &data)?;
    Ok(())
}

async fn members(server: &SecureServer, count: usize) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = server.connect().await;
        assert_eq!(peer.request("/join", json!({})).await, Value::Null);
        peers.push(peer);
    }
    peers
}

/// Limits with an outbox of this size, and without pauses of senders.
fn with_outbox(bytes_max: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.outbox_bytes_max, limits.stall_max) = (bytes_max, Duration::ZERO);
    limits
}

/// The configuration of a client with one version of TLS.
fn only(
    version: &'static switchboard_tls::rustls::SupportedProtocolVersion,
    trusted: &TestCertificate,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = switchboard_tls::rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_arrive_in_both_directions() {
    let server = SecureServer::start(rooms()).await;
    let mut peer = server.connect().await;
    assert_eq!(peer.request("/secure", json!({})).await, true);
    for len in [1, 1000, 16_383, 16_384, 16_385, 40_000, 65_536, 300_000] {
        let text = json!("x".repeat(len));
        assert_eq!(peer.request("/echo", text.clone()).await, text, "{len}");
    }
    peer.close().await;
    until("the session is removed", async || server.app.hub().index().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_work_and_no_other_protocol_than_http_1_1_is_chosen() {
    let server = SecureServer::start(rooms()).await;
    for version in [&TLS12, &TLS13] {
        let mut config = only(version, &server.certificate);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let stream = server.stream(config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let url = format!("wss://{}/", server.address);
        let mut peer = Peer::try_connect_tls(&url, &config).await.unwrap();
        let long = json!("x".repeat(100_000));
        assert_eq!(peer.request("/echo", long.clone()).await, long);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_resumed_with_a_ticket() {
    let server = SecureServer::start(rooms()).await;
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(only(version, &server.certificate));
        for expected in ["Full", "Resumed"] {
            let mut stream = server.stream(config.clone()).await.unwrap();
            let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // The tickets of TLS 1.3 arrive after the handshake.
            soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            assert_eq!(format!("{kind:?}"), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fan_out_reaches_every_member_in_order() {
    const MESSAGES: usize = 500;
    let server = SecureServer::start(rooms()).await;
    let mut peers = members(&server, 20).await;
    let mut senders = [server.connect().await, server.connect().await];
    for number in 0..MESSAGES {
        for (index, sender) in senders.iter_mut().enumerate() {
            sender.emit("/all", json!([index, number])).await;
        }
    }
    for peer in &mut peers {
        let mut next = [0, 0];
        for _ in 0..2 * MESSAGES {
            let (event, data) = peer.next_event().await;
            let sender = data[0].as_u64().unwrap() as usize;
            assert_eq!((&*event, &data[1]), ("all", &json!(next[sender])));
            next[sender] += 1;
        }
        peer.quiet().await;
    }
}

/// The kernel accepts a part of the ciphertext of a send. The rest has to follow without another send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_fills_the_buffers_of_the_kernel_arrives_whole_when_the_peer_reads_again() {
    let limits = with_outbox(64 * 1024 * 1024);
    let server = SecureServer::start(rooms().with_limits(limits)).await;
    let mut peers = members(&server, 1).await;
    let text = "x".repeat(50_000);
    for number in 0..400 {
        server.app.to("#all").emit("all", &json!([number, text])).unwrap();
    }
    for number in 0..400 {
        let (_, data) = peers[0].next_event().await;
        assert_eq!(data, json!([number, text]));
    }
    peers[0].quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_reading_is_closed_with_1013() {
    let mut limits = with_outbox(256 * 1024);
    limits.close_timeout = Duration::from_secs(100);
    let server = SecureServer::start(rooms().with_limits(limits)).await;
    let mut peers = members(&server, 1).await;
    // Until the outbox is full and the peer has been closed.
    let text = "x".repeat(100_000);
    while server.app.to("#all").emit("all", &text).unwrap() > 0 {}
    assert_eq!(peers[0].closed().await.0, 1013);
    server.connect().await.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_certificate_is_used_by_new_connections_and_closes_none() {
    let server = SecureServer::start(rooms()).await;
    let mut peers = members(&server, 10).await;
    let mut last = None;
    for round in 0..10 {
        let next = TestCertificate::new(&["localhost", "127.0.0.1"]);
        let certificate = Certificate::from_pem(next.cert.as_bytes(), next.key.as_bytes()).unwrap();
        let config = server_config(Arc::new(ServedCertificates::new(&[certificate])), None).unwrap();
        server.tls.replace(Arc::new(config));
        let old = last.as_ref().unwrap_or(&server.certificate);
        assert!(server.try_connect(old).await.is_err(), "the old certificate is not served in round {round}");
        server.try_connect(&next).await.unwrap().close().await;
        last = Some(next);
    }
    for peer in &mut peers {
        assert_eq!(peer.request("/echo", json!(1)).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_gets_its_own_certificate() {
    let (one, two) = (TestCertificate::new(&["one.test"]), TestCertificate::new(&["*.two.test"]));
    let load =
        |from: &TestCertificate| Certificate::from_pem(from.cert.as_bytes(), from.key.as_bytes()).unwrap();
    let served = ServedCertificates::new(&[load(&one), load(&two)]);
    let config: ServerConfig = server_config(Arc::new(served), None).unwrap();
    let server = SecureServer::start(App::new()).await;
    server.tls.replace(Arc::new(config));
    let client = trusting(&[&one, &two]);
    for (host, expected) in [("one.test", Some(&one)), ("a.two.test", Some(&two)), ("two.test", None)] {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let connected = TlsConnector::from(client.clone()).connect(host.try_into().unwrap(), tcp).await;
        let served = connected.ok().map(|stream| stream.get_ref().1.peer_certificates().unwrap()[0].clone());
        assert_eq!(served.as_ref(), expected.map(TestCertificate::der), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_plain_http_gets_an_answer_in_plain_http() {
    let server = SecureServer::start(rooms()).await;
    let mut peer = RawPeer::connect(server.address).await;
    peer.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = String::from_utf8(peer.read_to_end().await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("use an https:// or wss:// address"),
        "{answer}"
    );
    server.connect().await.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_and_unfinished_handshakes_end_and_affect_nobody_else() {
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_millis(300);
    let server = SecureServer::start(rooms().with_limits(limits)).await;
    let mut steady = server.connect().await;
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252];
    let too_long = [22, 3, 1, 255, 255];
    for bytes in [&[][..], &hello[..1], &hello[..], &too_long, &[0; 100], &[22, 3, 3, 0, 1, 77], &[128; 2000]]
    {
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(bytes).await;
        // Ended by the time-out or by an error.
        let answer = peer.read_to_end().await;
        assert!(answer.is_empty() || answer[0] == 21, "an alert or nothing: {answer:?}");
    }
    let mut finished = server.stream(server.certificate.client()).await.unwrap();
    // The handshake is complete, and the request is missing.
    let mut rest = Vec::new();
    let _ = soon("the time-out", finished.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    steady.quiet().await;
    server.connect().await.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_arrive_byte_by_byte_are_joined() {
    let server = SecureServer::start(rooms()).await;
    let forward = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, target) = (forward.local_addr().unwrap(), server.address);
    tokio::spawn(async move {
        let (client, _) = forward.accept().await.unwrap();
        let server = TcpStream::connect(target).await.unwrap();
        server.set_nodelay(true).unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        while let Ok(byte) = from_client.read_u8().await {
            to_server.write_u8(byte).await.unwrap();
        }
    });
    let url = format!("wss://{address}/");
    let mut peer = Peer::try_connect_tls(&url, &server.certificate.client()).await.unwrap();
    let text = json!("x".repeat(2000));
    assert_eq!(peer.request("/echo", text.clone()).await, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_changes_its_keys_stays_connected() {
    let server = SecureServer::start(rooms()).await;
    let mut stream = server.stream(server.certificate.client()).await.unwrap();
    for _ in 0..5 {
        stream.get_mut().1.refresh_traffic_keys().unwrap();
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let len = soon("the answer", stream.read(&mut answer)).await.unwrap();
        assert!(answer[..len].starts_with(b"HTTP/1.1 426"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_without_websockets_is_served_with_tls_and_receives_large_bodies() {
    let certificate = TestCertificate::new(&["localhost"]);
    let tls = Tls::from_pem(&certificate.cert, &certificate.key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/len", axum::routing::post(async |body: String| body));
    let serving = serve_http(listener, router, Limits::default()).with_tls(tls);
    tokio::spawn(async move { serving.await });
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(certificate.client());
    let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let body = "x".repeat(1_000_000);
    let head = format!(
        "POST /len HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&body));
}

#[tokio::test]
async fn a_key_of_another_certificate_is_an_error() {
    let (one, two) = (TestCertificate::new(&["one"]), TestCertificate::new(&["two"]));
    let error = Tls::from_pem(&one.cert, &two.key).unwrap_err().to_string();
    assert_eq!(error, "the private key does not belong to the certificate");
}

#[tokio::test]
async fn a_handler_sees_that_a_connection_without_tls_is_not_encrypted() {
    let app = App::new().on("/secure", async |info: ConnectionInfo| Reply(info.secure()));
    let server = switchboard_testkit::TestServer::start(app).await;
    assert_eq!(server.peer().await.request("/secure", json!({})).await, false);
}
