//! Worker groups, and workers that join and leave.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use switchboard::{App, Data, Socket};
use switchboard_redis::{Options, ReportOptions};
use switchboard_testkit::{Peer, RedisCluster, RedisServer, soon};
use switchboard_worker::{Job, Worker};

use crate::support::{
    LEASE, Node, action, join, message, next_job, next_report, options, query, reports, stored, until,
};

/// How many partitions each worker of a group owns.
async fn owners(redis: &RedisServer, group: &str) -> BTreeMap<String, usize> {
    let key = format!("switchboard:{{default}}:work:owners:{group}");
    let owners: HashMap<String, String> = query(redis, redis::cmd("HGETALL").arg(key)).await;
    let mut counts = BTreeMap::new();
    for worker in owners.into_iter().filter(|(partition, _)| !partition.starts_with('!')).map(|(_, by)| by) {
        *counts.entry(worker).or_default() += 1;
    }
    counts
}

async fn until_owned(redis: &RedisServer, group: &str, expected: &[usize]) {
    until("the partitions are distributed", async || {
        let mut counts: Vec<usize> = owners(redis, group).await.into_values().collect();
        counts.sort_unstable();
        counts == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_group_receives_every_report() {
    let redis = RedisServer::start().await;
    let (one, two) = (join(&redis, "one").await, join(&redis, "two: groß").await);
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    peer.emit("/chat", json!(1)).await;
    for worker in [&one, &two] {
        assert_eq!(next_report(worker).await, action("connection"));
        assert_eq!(next_report(worker).await, message("/chat", json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_redistributed_when_workers_join_and_leave() {
    let redis = RedisServer::start().await;
    let first = join(&redis, "all").await;
    until_owned(&redis, "all", &[16]).await;
    let second = join(&redis, "all").await;
    until_owned(&redis, "all", &[8, 8]).await;
    let third = join(&redis, "all").await;
    until_owned(&redis, "all", &[5, 5, 6]).await;
    soon("the worker leaves", first.leave()).await;
    until_owned(&redis, "all", &[8, 8]).await;
    // A worker that does not leave is replaced when its lease ends.
    drop(second);
    until_owned(&redis, "all", &[16]).await;
    assert_eq!(owners(&redis, "all").await.into_keys().collect::<Vec<_>>(), [third.id()]);
}

/// Collects the numbers that a worker receives, by client.
fn collect(worker: &Worker, into: &Collected) -> tokio::task::JoinHandle<()> {
    let (worker, into) = (worker.clone(), into.clone());
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    tokio::spawn(async move {
        while let Some(job) = worker.next().await {
            if let Ok(Value::Number(number)) = job.data() {
                let socket = job.report().socket.to_string();
                into.lock().unwrap().entry(socket).or_default().push(number.as_u64().unwrap());
            }
            job.ack();
        }
    })
}

type Collected = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_and_no_report_is_lost_or_repeated_while_workers_join_and_leave() {
    let redis = RedisServer::start().await;
    let nodes = [Node::start(&redis).await, Node::start(&redis).await];
    let collected = Collected::default();
    let mut workers = vec![join(&redis, "all").await];
    let mut tasks = vec![collect(&workers[0], &collected)];
    for node in &nodes {
        node.knows_a_worker().await;
    }
    let mut peers = Vec::new();
    for count in 0..20 {
        peers.push(nodes[count % 2].peer().await);
    }
    for number in 1..=100_u64 {
        match number {
            20 | 30 | 40 => {
                let worker = join(&redis, "all").await;
                tasks.push(collect(&worker, &collected));
                workers.push(worker);
            }
            60 | 70 => soon("the worker leaves", workers.remove(0).leave()).await,
            _ => {}
        }
        for peer in &mut peers {
            peer.emit("/chat", json!(number)).await;
        }
    }
    until("every report has arrived", async || {
        let collected = collected.lock().unwrap();
        collected.values().map(Vec::len).sum::<usize>() >= 2000
    })
    .await;
    for worker in workers {
        soon("the worker leaves", worker.leave()).await;
    }
    let collected = collected.lock().unwrap();
    assert_eq!(collected.len(), 20);
    for numbers in collected.values() {
        assert_eq!(*numbers, (1..=100).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_are_called_when_workers_join_and_leave() {
    async fn announce(socket: Socket, Data(worker): Data<Value>, event: &'static str) {
        socket.broadcast(event, &worker).unwrap();
    }
    let redis = RedisServer::start().await;
    let early = join(&redis, "early").await;
    let app = App::new()
        .on("@portal-join", async |socket: Socket, worker: Data<Value>| {
            announce(socket, worker, "joined").await
        })
        .on("@portal-leave", async |socket: Socket, worker: Data<Value>| {
            announce(socket, worker, "left").await
        })
        .on("/here", async || ());
    let mut options = Options { lease: LEASE, ..Options::new(&redis.url()) };
    options.reports = Some(reports());
    let node = Node::connect(options, app).await;
    let mut peer = node.peer().await;
    node.knows_a_worker().await;
    let identity =
        |worker: &Worker, group| json!({ "portal": worker.id(), "group": group, "project": "default" });
    let worker = join(&redis, "late").await;
    let mut announced = Vec::new();
    while announced.last() != Some(&("joined".into(), identity(&worker, "late"))) {
        announced.push(peer.next_event().await);
        // The worker that joined first may have been announced before the client connected.
        assert!([&worker, &early].iter().any(|one| announced.last().unwrap().1["portal"] == one.id()));
    }
    soon("the worker leaves", worker.leave()).await;
    assert_eq!(peer.next_event().await, ("left".into(), identity(&worker, "late")));
    drop(early.clone());
    let expected = identity(&early, "early");
    drop(early);
    assert_eq!(peer.next_event().await, ("left".into(), expected), "a worker that does not leave");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_exists_once_its_first_worker_is_connected() {
    let redis = RedisServer::start().await;
    let _worker = join(&redis, "all").await;
    assert_eq!(redis.ask("EXISTS switchboard:{default}:work:groups").await, ":1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_partition_drops_its_oldest_reports() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start_with(&redis, ReportOptions { backlog_max: 10, ..reports() }, App::new()).await;
    let mut peer = node.peer().await;
    let connection = next_job(&worker).await;
    for number in 1..=200 {
        peer.emit("/chat", json!(number)).await;
    }
    // The worker has read some of them by then; these are not dropped.
    let key = format!("switchboard:{{default}}:work:sent:{}", node.app().hub().bus().node());
    until("the node has stored every report", async || {
        query::<Option<u64>>(&redis, redis::cmd("GET").arg(&key)).await == Some(201)
    })
    .await;
    connection.ack();
    let mut numbers: Vec<u64> = Vec::new();
    while numbers.last() != Some(&200) {
        let job = next_job(&worker).await;
        if job.name() == "/chat" {
            numbers.push(job.data().unwrap());
        }
        job.ack();
    }
    assert!(numbers.is_sorted() && numbers.len() < 200, "{numbers:?}");
    until("every report is removed from Redis", async || stored(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_beyond_the_byte_limit_of_a_node_is_dropped() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start_with(&redis, ReportOptions { bytes_max: 2000, ..reports() }, App::new()).await;
    let mut peer = node.peer().await;
    assert_eq!(next_report(&worker).await, action("connection"));
    peer.emit("/large", json!("x".repeat(3000))).await;
    peer.emit("/small", json!(1)).await;
    assert_eq!(next_report(&worker).await, message("/small", json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partition_count_is_set_by_the_first_node() {
    let redis = RedisServer::start().await;
    let _node = Node::start_with(&redis, ReportOptions { partitions: 4, ..reports() }, App::new()).await;
    let _worker = join(&redis, "all").await;
    until_owned(&redis, "all", &[4]).await;
    let other = Node::start(&redis).await;
    let _peer = other.peer().await;
    assert_eq!(redis.ask_text("GET switchboard:{default}:work:partitions").await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_and_replies_work_with_a_redis_cluster() {
    let cluster = RedisCluster::start().await;
    let redis = switchboard_worker::RedisOptions {
        urls: cluster.servers.iter().map(RedisServer::url).collect(),
        mode: switchboard_redis::Mode::Cluster,
        ..Options::new("redis://unused")
    };
    let worker = Worker::connect_with(&redis, options("all")).await.unwrap();
    let node = Node::connect(Options { reports: Some(reports()), ..redis }, App::new()).await;
    node.knows_a_worker().await;
    let mut peer: Peer = node.peer().await;
    assert_eq!(next_report(&worker).await, action("connection"));
    let replying = async {
        let job: Job = next_job(&worker).await;
        job.reply(&42).unwrap();
        job.ack();
    };
    assert_eq!(tokio::join!(peer.request("/ask", json!({})), replying).0, 42);
    soon("the worker leaves", worker.leave()).await;
}
