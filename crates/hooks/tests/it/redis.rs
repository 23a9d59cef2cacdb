//! Webhooks of nodes with Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use switchboard::{App, Socket, SocketId};
use switchboard_hooks::{EventKind, WebhookOptions, Webhooks};
use switchboard_redis::{Options, Redis, ReportOptions};
use switchboard_testkit::{RedisServer, TestServer, name, soon};

use crate::backend::{Action, Backend, until};
use crate::local::{endpoint, first_arrivals, numbered, options};

/// A node with webhooks.
struct Node {
    redis: Redis,
    webhooks: Webhooks,
}

impl Node {
    async fn start(redis: &RedisServer, options: &WebhookOptions) -> Self {
        let connection = Options {
            webhooks: Some(ReportOptions::of(&name("default"))),
            lease: Duration::from_millis(900),
            ..Options::new(&redis.url())
        };
        let webhooks = Webhooks::start_with_redis(options, &connection).await.unwrap();
        Node { redis: Redis::connect(connection).await.unwrap(), webhooks }
    }

    fn app(&self) -> App {
        App::new().with_backplane(&self.redis).with_webhook_sink(self.webhooks.sink(Some(&self.redis)))
    }
}

/// Serves each node; its clients join `#lobby`.
async fn serve_lobby(nodes: &[Node]) -> Vec<TestServer> {
    let mut servers = Vec::new();
    for node in nodes {
        let app = node.app().on("@connection", async |socket: Socket| {
            let _ = socket.join("#lobby");
        });
        servers.push(TestServer::start(app).await);
    }
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_share_the_reports_and_each_is_delivered() {
    let redis = RedisServer::start().await;
    let backend = Backend::start(|_| Action::status(200)).await;
    let all =
        options(vec![endpoint(&backend, "all", &[EventKind::Connected, EventKind::Joined, EventKind::Left])]);
    let nodes = [Node::start(&redis, &all).await, Node::start(&redis, &all).await];
    let servers = serve_lobby(&nodes).await;
    let mut peers = [servers[0].peer().await, servers[1].peer().await];
    for peer in &mut peers {
        peer.request("/ping", json!({})).await;
        peer.send_close(1000).await;
    }
    until("everything is reported", async || backend.reports().len() == 6).await;
    let reports = backend.reports();
    for kind in ["connected", "joined", "left"] {
        assert_eq!(reports.iter().filter(|report| report["type"] == kind).count(), 2, "{reports:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_node_that_died_are_delivered_by_another_in_order() {
    const SOCKETS: usize = 30;
    const EACH: usize = 20;
    let redis = RedisServer::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let backend = Backend::start(move |_| match count.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Action::status(500),
        1 => Action::Close,
        _ => Action::status(200),
    })
    .await;
    let all = options(vec![endpoint(&backend, "all", &[EventKind::Message])]);
    let (one, other) = (Node::start(&redis, &all).await, Node::start(&redis, &all).await);
    let sink = one.webhooks.sink(Some(&one.redis));
    until("the group is known", async || sink.accepts(&name("default"), false)).await;
    let sockets: Vec<SocketId> = (0..SOCKETS).map(|_| SocketId::random()).collect();
    (0..EACH).for_each(|number| sockets.iter().for_each(|socket| sink.report(numbered(*socket, number))));
    until("some arrive", async || backend.reports().len() > 100).await;
    soon("the reports are in Redis", one.redis.leave()).await;
    // Without leaving its group.
    drop(one.webhooks);
    // The lease of a worker is 6 s.
    until("everything arrives", async || {
        first_arrivals(&backend.reports()).0.values().map(Vec::len).sum::<usize>() == SOCKETS * EACH
    })
    .await;
    let (arrivals, _) = first_arrivals(&backend.reports());
    let in_order: Vec<u64> = (0..EACH as u64).collect();
    assert!(arrivals.values().all(|numbers| *numbers == in_order), "out of order");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_many_nodes_is_occupied_and_vacated_once() {
    let redis = RedisServer::start().await;
    let backend = Backend::start(|_| Action::status(200)).await;
    let events = [EventKind::Occupied, EventKind::Vacated, EventKind::Left];
    let options = WebhookOptions {
        vacated_after: Duration::from_millis(1),
        ..options(vec![endpoint(&backend, "rooms", &events)])
    };
    let nodes = [Node::start(&redis, &options).await, Node::start(&redis, &options).await];
    let servers = serve_lobby(&nodes).await;
    let mut peers = [servers[0].peer().await, servers[1].peer().await];
    for (server, peer) in servers.iter().zip(&mut peers) {
        peer.request("/ping", json!({})).await;
        server.app.settled().await;
    }
    backend.report(|report| report["type"] == "occupied").await;
    let [mut first, mut second] = peers;
    first.send_close(1000).await;
    backend.report(|report| report["type"] == "left").await;
    second.request("/ping", json!({})).await;
    second.send_close(1000).await;
    let vacated = backend.report(|report| report["type"] == "vacated").await;
    assert_eq!(vacated["room"], "#lobby");
    let count = |kind: &str| backend.reports().iter().filter(|report| report["type"] == kind).count();
    until("both have left", async || count("left") == 2).await;
    assert_eq!([count("occupied"), count("vacated")], [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_crashed_node_are_reported_as_disconnected_by_another() {
    const CLIENTS: usize = 20;
    let redis = RedisServer::start().await;
    let backend = Backend::start(|_| Action::status(200)).await;
    let events = [EventKind::Left, EventKind::Vacated, EventKind::Disconnected];
    let options = WebhookOptions {
        vacated_after: Duration::from_millis(1),
        ..options(vec![endpoint(&backend, "ends", &events)])
    };
    let (crashing, living) = (Node::start(&redis, &options).await, Node::start(&redis, &options).await);
    let _living = TestServer::start(living.app()).await;
    let app = crashing.app().on("@connection", async |socket: Socket| {
        let _ = socket.login("ann");
        let _ = socket.join("#lobby");
    });
    let server = TestServer::start(app).await;
    let mut peers = Vec::new();
    for _ in 0..CLIENTS {
        let mut peer = server.peer().await;
        peer.request("/ping", json!({})).await;
        peers.push(peer);
    }
    server.app.settled().await;
    let mut sockets: Vec<String> =
        server.app.all_socket_ids().await.unwrap().iter().map(ToString::to_string).collect();
    sockets.sort();
    // The tasks of a node end with it, without a word to Redis.
    drop(crashing);
    let ended = || -> Vec<serde_json::Value> {
        let reports = backend.reports().into_iter();
        reports.filter(|report| report["type"] == "disconnected").collect()
    };
    until("every end is reported", async || ended().len() >= CLIENTS).await;
    let mut reported: Vec<String> =
        ended().iter().map(|report| report["socket"].as_str().unwrap().to_owned()).collect();
    reported.sort();
    assert_eq!(reported, sockets, "each once");
    assert!(ended().iter().all(|report| report["code"] == 1006 && report["user"] == "ann"));
    backend.report(|report| report["type"] == "vacated" && report["room"] == "#lobby").await;
    assert_eq!(backend.reports().iter().filter(|report| report["type"] == "left").count(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_do_not_receive_the_reports_of_webhooks() {
    use switchboard_worker::{Worker, WorkerOptions};
    let redis = RedisServer::start().await;
    let worker = Worker::connect(&redis.url(), WorkerOptions::new(name("workers"))).await.unwrap();
    let backend = Backend::start(|_| Action::status(200)).await;
    let all = options(vec![endpoint(&backend, "all", &[EventKind::Connected])]);
    let node = Node::start(&redis, &all).await;
    let server = TestServer::start(node.app()).await;
    let _peer = server.peer().await;
    backend.report(|report| report["type"] == "connected").await;
    let left = async {
        worker.leave().await;
        worker.next().await.is_none()
    };
    assert!(soon("the worker leaves", left).await);
}
