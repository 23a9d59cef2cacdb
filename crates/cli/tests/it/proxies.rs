//! Nodes behind the proxies of `deploy/`. `./test` skips these tests; `deploy/test` installs the proxies.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_client::{Client, Options, Payload};
use switchboard_testkit::redis::{free_port, signal_process};
use switchboard_testkit::{Forwarder, Peer, RedisServer, Scratch, soon, until};
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

/// The ports of a node, for clients and for health checks.
#[derive(Clone, Copy)]
struct NodeAddress {
    clients: u16,
    health: u16,
}

impl NodeAddress {
    fn of(server: &Server) -> Self {
        let port = |address: &str| address.rsplit(':').next()?.parse().ok();
        let port = |address| port(address).expect("it has a port");
        NodeAddress { clients: port(&server.address), health: port(&server.health) }
    }
}

fn addresses(nodes: &[Server; 2]) -> [NodeAddress; 2] {
    [&nodes[0], &nodes[1]].map(NodeAddress::of)
}

/// A node with addresses that stay when its process is replaced.
struct ReplaceableNode {
    clients: Forwarder,
    health: Forwarder,
    server: Server,
    sets: Vec<String>,
}

impl ReplaceableNode {
    async fn start(redis: &RedisServer) -> Self {
        let redis = format!("redis.url={}", redis.url());
        let sets = [
            &*redis,
            "internal.listen=127.0.0.1:0",
            "access=open",
            "clients.trusted_proxies=[\"127.0.0.1/32\"]",
            // It ends when all clients have gone, also on a busy machine.
            "stop.window_ms=20000",
            "history.rooms.load.messages_max=100000",
        ];
        let sets: Vec<String> = sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect();
        let server = ReplaceableNode::process(&sets).await;
        let NodeAddress { clients, health } = NodeAddress::of(&server);
        let (clients, health) = (Forwarder::start(clients).await, Forwarder::start(health).await);
        ReplaceableNode { clients, health, server, sets }
    }

    async fn process(sets: &[String]) -> Server {
        let sets = sets.to_vec();
        let start = move || {
            let args: Vec<&str> = ["serve"].into_iter().chain(sets.iter().map(String::as_str)).collect();
            Server::start(&args)
        };
        tokio::task::spawn_blocking(start).await.expect("it starts")
    }

    fn address(&self) -> NodeAddress {
        NodeAddress { clients: self.clients.port(), health: self.health.port() }
    }

    /// Stops the process as an orchestrator does, and starts another one.
    async fn replace(&mut self) {
        let next = ReplaceableNode::process(&self.sets).await;
        let address = NodeAddress::of(&next);
        let old = std::mem::replace(&mut self.server, next);
        old.signal("-TERM");
        let ended = tokio::task::spawn_blocking(|| old.ended()).await.expect("it ends");
        assert_eq!(ended.0, Some(0), "{}", ended.1);
        self.clients.point_to(address.clients);
        self.health.point_to(address.health);
    }

    fn connections(&self) -> u64 {
        let metrics = get(&self.server.health, "/metrics");
        let mut lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("switchboard_connections{protocol=\"emit\"} "));
        lines.next().and_then(|count| count.parse().ok()).expect("it counts")
    }
}

/// A client behind the proxy that reconnects, in the room `load`, and the numbers that it has received.
async fn receiver(url: &str) -> (Client, Arc<Mutex<Vec<u64>>>) {
    let client = Client::connect_with(url, Options::default().with_reconnect(true)).await;
    let client = client.expect("it connects");
    let received = Arc::new(Mutex::new(Vec::new()));
    let numbers = received.clone();
    client.on("message", move |data: Payload| {
        let data: Value = data.to().expect("it is JSON");
        numbers.lock().expect("no panic").push(data["n"].as_u64().expect("a number"));
    });
    let joined = client.request::<Value>("/join", &json!({ "room": "load" })).await;
    joined.expect("it joins");
    (client, received)
}

/// Both nodes are replaced, one after the other, while a client sends up to 200 messages a second. Every client receives each message
/// once and in order.
#[expect(clippy::disallowed_methods, reason = "the client of a test")]
async fn assert_a_replacement_loses_nothing(proxy: &Proxy, nodes: &mut [ReplaceableNode; 2]) {
    let mut receivers = Vec::new();
    for _ in 0..12 {
        receivers.push(receiver(&proxy.url()).await);
    }
    let sender = Client::connect_with(&proxy.url(), Options::default().with_reconnect(true)).await;
    let sender = sender.expect("it connects");
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let sending = tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        for n in 1.. {
            tokio::select! {
                _ = interval.tick() => {}
                _ = stopped.changed() => {
                    sender.close().await;
                    return n - 1;
                }
            }
            // A request, because a client that moves waits for replies; what it emits just before may be lost.
            let sent = sender.request::<Value>("/message", &json!({ "room": "load", "n": n })).await;
            sent.expect("it is answered");
        }
        unreachable!("it is stopped before")
    });
    for node in nodes {
        node.replace().await;
        // The next one follows when the proxy has noticed the new process.
        let mut others = Vec::new();
        until("the proxy uses the new node", async || {
            others.push(Peer::try_connect(&proxy.url(), &[]).await);
            node.connections() > 0
        })
        .await;
    }
    stop.send_replace(true);
    let last: u64 = sending.await.expect("no panic");
    for (client, received) in receivers {
        until("the last message arrives", async || received.lock().expect("no panic").last() == Some(&last))
            .await;
        client.close().await;
        let received = received.lock().expect("no panic");
        let wrong = received.windows(2).find(|pair| pair[1] != pair[0] + 1);
        assert_eq!((received.first(), wrong), (Some(&1), None), "of {last}");
    }
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];

const NGINX: &str = include_str!("../../../../deploy/nginx.conf");
const HAPROXY: &str = include_str!("../../../../deploy/haproxy.cfg");

impl Proxy {
    async fn nginx(nodes: &[Server; 2]) -> Self {
        Proxy::nginx_to(addresses(nodes)).await
    }

    async fn nginx_to(nodes: [NodeAddress; 2]) -> Self {
        Proxy::start(NGINX, "listen 80", "listen", nodes, |file, scratch| {
            let (pid, log) = (scratch.file("pid"), "error_log stderr warn");
            let mut command = Command::new("/usr/sbin/nginx");
            command.args(["-c", file, "-g", &format!("daemon off; pid {pid}; {log};")]);
            command
        })
        .await
    }

    async fn haproxy(nodes: &[Server; 2]) -> Self {
        Proxy::haproxy_to(addresses(nodes)).await
    }

    async fn haproxy_to(nodes: [NodeAddress; 2]) -> Self {
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
        nodes: [NodeAddress; 2],
        command: impl FnOnce(&str, &Scratch) -> Command,
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut replaced = settings.replace(listen_line, &format!("{directive} {address}"));
        assert_ne!(replaced, settings);
        for (node, name) in nodes.iter().zip(["node-1:3000", "node-2:3000"]) {
            let address = format!("127.0.0.1:{}", node.clients);
            let checked = format!("{address} port {}", node.health);
            assert!(replaced.contains(name));
            replaced = replaced.replace(&format!("{name} port 3001"), &checked).replace(name, &address);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx: deploy/test"]
async fn behind_nginx_a_replacement_of_both_nodes_loses_no_message() {
    let redis = RedisServer::start().await;
    let mut nodes = [ReplaceableNode::start(&redis).await, ReplaceableNode::start(&redis).await];
    let proxy = Proxy::nginx_to([nodes[0].address(), nodes[1].address()]).await;
    assert_a_replacement_loses_nothing(&proxy, &mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs haproxy: deploy/test"]
async fn behind_haproxy_a_replacement_of_both_nodes_loses_no_message() {
    let redis = RedisServer::start().await;
    let mut nodes = [ReplaceableNode::start(&redis).await, ReplaceableNode::start(&redis).await];
    let proxy = Proxy::haproxy_to([nodes[0].address(), nodes[1].address()]).await;
    assert_a_replacement_loses_nothing(&proxy, &mut nodes).await;
}
