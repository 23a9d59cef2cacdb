//! Nodes behind the proxies of `deploy/`. `./test` skips these tests; `deploy/test` installs the proxies.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use futures_util::future::join_all;
use serde_json::json;
use switchboard_testkit::redis::{free_port, signal_process};
use switchboard_testkit::{Peer, RedisServer, Scratch, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::clients::{assert_delivers, demo, member, members, request};
use crate::support::{Server, get};

/// A proxy process on a free port. Dropping it stops it.
struct Proxy {
    address: SocketAddr,
    process: Child,
    _scratch: Scratch,
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];

const NGINX: &str = include_str!("../../../../deploy/nginx.conf");
const HAPROXY: &str = include_str!("../../../../deploy/haproxy.cfg");

impl Proxy {
    async fn nginx(nodes: &[Server; 2]) -> Self {
        Proxy::start(NGINX, "listen 80", "listen", nodes, |file, scratch| {
            let (pid, log) = (scratch.file("pid"), "error_log stderr warn");
            let mut command = Command::new("/usr/sbin/nginx");
            command.args(["-c", file, "-g", &format!("daemon off; pid {pid}; {log};")]);
            command
        })
        .await
    }

    async fn haproxy(nodes: &[Server; 2]) -> Self {
        Proxy::start(HAPROXY, "bind :80", "bind", nodes, |file, _| {
            let mut command = Command::new("/usr/sbin/haproxy");
            command.args(["-db", "-f", file]);
            command
        })
        .await
    }

    /// Starts a proxy with the shipped configuration; only addresses and ports are replaced.
    async fn start(
        settings: &str,
        listen_line: &str,
        directive: &str,
        nodes: &[Server; 2],
        command: impl FnOnce(&str, &Scratch) -> Command,
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut replaced = settings.replace(listen_line, &format!("{directive} {address}"));
        assert_ne!(replaced, settings);
        for (node, name) in nodes.iter().zip(["node-1:3000", "node-2:3000"]) {
            let health = node.health.rsplit_once(':').expect("it has a port").1;
            let checked = format!("{} port {health}", node.address);
            assert!(replaced.contains(name));
            replaced = replaced.replace(&format!("{name} port 3001"), &checked).replace(name, &node.address);
        }
        let scratch = Scratch::new();
        let file = scratch.file("settings");
        std::fs::write(&file, replaced).expect("the directory is ours");
        let process = command(&file, &scratch).stdin(Stdio::null()).spawn().expect("it is installed");
        let proxy = Proxy { address, process, _scratch: scratch };
        // The proxy answers this request itself: a connection to a node would still be counted there.
        soon("the proxy answers", async { while proxy.status(LOCAL, "/readyz", "").await != 404 {} }).await;
        proxy
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Performs a handshake from an address of this machine and returns the status.
    async fn status(&self, from: [u8; 4], path: &str, headers: &str) -> u16 {
        self.handshake(from, path, headers).await.map_or(0, |(status, _)| status)
    }

    async fn handshake(&self, from: [u8; 4], path: &str, headers: &str) -> std::io::Result<(u16, TcpStream)> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let mut stream = socket.connect(self.address).await?;
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let upgrade =
            format!("Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n{headers}\r\n");
        stream.write_all(format!("GET {path} HTTP/1.1\r\n{upgrade}").as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        let status = std::str::from_utf8(&head[9..]).ok().and_then(|status| status.parse().ok());
        Ok((status.unwrap_or_default(), stream))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The worker processes end only if the master gets SIGTERM.
        signal_process(self.process.id(), "-TERM");
        let _ = self.process.wait();
    }
}

fn nodes(redis: &RedisServer, sets: &[&str]) -> [Server; 2] {
    let common = [
        "internal.listen=127.0.0.1:0",
        "clients.trusted_proxies=[\"127.0.0.1/32\"]",
        // The default: a stop with a window.
        "stop.window_ms=1000",
    ];
    [(); 2].map(|()| demo(&redis.url(), &[&common[..], sets].concat()))
}

/// Clients are spread over both nodes, and messages pass between the nodes.
async fn assert_clients_are_spread(proxy: &Proxy, nodes: &[Server; 2]) {
    let mut peers = members(&proxy.url(), 20).await;
    for node in nodes {
        let metrics = get(&node.health, "/metrics");
        let mut lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("switchboard_connections{protocol=\"emit\"} "));
        let count: usize = lines.next().and_then(|count| count.parse().ok()).expect("it counts");
        assert!((8..=12).contains(&count), "one of both has {count} of 20");
    }
    let mut direct = member(&nodes[0].url()).await;
    for (n, peer) in peers[..4].iter_mut().enumerate() {
        assert_delivers(&mut direct, peer, &format!("to the proxy {n}")).await;
        assert_delivers(peer, &mut direct, &format!("from the proxy {n}")).await;
    }
    for page in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(proxy.status(LOCAL, page, "").await, 404, "{page} is not for clients");
    }
}

/// When a node stops, its clients are closed with 1012, reconnect at the first attempt, and reach the other
/// node. Clients of the other node stay connected.
async fn assert_node_drains(proxy: &Proxy, [one, two]: [Server; 2]) {
    let mut at_two = member(&two.url()).await;
    let peers = members(&proxy.url(), 40).await;
    let clients = join_all(peers.into_iter().map(|peer| reconnect_until_announced(proxy, peer)));
    let announcing = async {
        one.signal("-TERM");
        let ended = tokio::task::spawn_blocking(|| one.ended()).await.expect("it ends");
        assert_eq!(ended.0, Some(0), "{}", ended.1);
        loop {
            request(&mut at_two, "/announce", json!({})).await;
        }
    };
    let reconnects: Vec<usize> = tokio::select! {
        reconnects = clients => reconnects,
        () = announcing => unreachable!("it announces until all clients have received it"),
    };
    let reconnected = reconnects.iter().filter(|times| **times > 0).count();
    assert!((16..=24).contains(&reconnected), "{reconnected} of 40 were on the node that stopped");
}

/// Reconnects after every close until an announcement is received; returns the number of reconnects.
async fn reconnect_until_announced(proxy: &Proxy, mut peer: Peer) -> usize {
    let mut reconnects = 0;
    loop {
        match peer.next_or_close().await {
            Ok(frame) if frame["event"] == "announcement" => return reconnects,
            Ok(_) => {}
            Err(code) => {
                assert_eq!(code, 1012);
                peer = Peer::try_connect(&proxy.url(), &[]).await.expect("the proxy finds a node");
                reconnects += 1;
            }
        }
    }
}

/// Nodes with a limit of one connection per address see the addresses of the clients. A forged header of a
/// client has no effect.
async fn assert_addresses_are_distinguished(proxy: &Proxy) {
    let forged = "X-Forwarded-For: 9.9.9.9\r\n";
    let mut open = Vec::new();
    for (from, headers, expected) in [
        ([127, 0, 0, 2], "", 101),
        ([127, 0, 0, 2], forged, 101),
        ([127, 0, 0, 2], "", 429),
        ([127, 0, 0, 2], forged, 429),
        ([127, 0, 0, 3], "", 101),
    ] {
        let (status, stream) = proxy.handshake(from, "/", headers).await.expect("the proxy answers");
        assert_eq!(status, expected, "from {from:?} with {} open", open.len());
        open.push(stream);
    }
}

#[tokio::test]
#[ignore = "needs nginx: deploy/test"]
async fn nginx_spreads_clients_and_drains_a_node() {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis, &[]);
    let proxy = Proxy::nginx(&nodes).await;
    assert_clients_are_spread(&proxy, &nodes).await;
    assert_node_drains(&proxy, nodes).await;
}

#[tokio::test]
#[ignore = "needs nginx: deploy/test"]
async fn nginx_passes_on_the_address_of_the_client() {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis, &["limits.connections_per_address_max=1"]);
    assert_addresses_are_distinguished(&Proxy::nginx(&nodes).await).await;
}

#[tokio::test]
#[ignore = "needs haproxy: deploy/test"]
async fn haproxy_spreads_clients_and_drains_a_node() {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis, &[]);
    let proxy = Proxy::haproxy(&nodes).await;
    assert_clients_are_spread(&proxy, &nodes).await;
    assert_node_drains(&proxy, nodes).await;
}

#[tokio::test]
#[ignore = "needs haproxy: deploy/test"]
async fn haproxy_passes_on_the_address_of_the_client() {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis, &["limits.connections_per_address_max=1"]);
    assert_addresses_are_distinguished(&Proxy::haproxy(&nodes).await).await;
}
