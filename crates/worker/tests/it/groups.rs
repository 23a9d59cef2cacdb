//! Groups and workers that come and go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use switchboard::{App, Data, Socket};
use switchboard_redis::{Options, Reports};
use switchboard_testkit::{Peer, RedisCluster, RedisServer, soon};
use switchboard_worker::{Job, Worker};

use crate::support::{
    LEASE, Node, did, join, message, next, next_job, options, query, reports, until, waiting,
};

/// Which partitions each worker of a group has.
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
    until("the partitions are shared out", async || {
        let mut counts: Vec<usize> = owners(redis, group).await.into_values().collect();
        counts.sort_unstable();
        counts == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_group_gets_everything() {
    let redis = RedisServer::start().await;
    let (one, two) = (join(&redis, "one").await, join(&redis, "two: groß").await);
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    peer.emit("/said", json!(1)).await;
    for worker in [&one, &two] {
        assert_eq!(next(worker).await, did("connection"));
        assert_eq!(next(worker).await, message("/said", json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_get_their_share_and_those_who_leave_give_it_up() {
    let redis = RedisServer::start().await;
    let first = join(&redis, "all").await;
    until_owned(&redis, "all", &[16]).await;
    let second = join(&redis, "all").await;
    until_owned(&redis, "all", &[8, 8]).await;
    let third = join(&redis, "all").await;
    until_owned(&redis, "all", &[5, 5, 6]).await;
    soon("it leaves", first.leave()).await;
    until_owned(&redis, "all", &[8, 8]).await;
    // Gone without a word: within the lease.
    drop(second);
    until_owned(&redis, "all", &[16]).await;
    assert_eq!(owners(&redis, "all").await.into_keys().collect::<Vec<_>>(), [third.id()]);
}

/// Collects what a worker gets, by client.
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
async fn order_holds_and_nothing_is_lost_or_doubled_while_workers_come_and_go() {
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
            60 | 70 => soon("it leaves", workers.remove(0).leave()).await,
            _ => {}
        }
        for peer in &mut peers {
            peer.emit("/said", json!(number)).await;
        }
    }
    until("all is there", async || {
        let collected = collected.lock().unwrap();
        collected.values().map(Vec::len).sum::<usize>() >= 2000
    })
    .await;
    for worker in workers {
        soon("it leaves", worker.leave()).await;
    }
    let collected = collected.lock().unwrap();
    assert_eq!(collected.len(), 20);
    for numbers in collected.values() {
        assert_eq!(*numbers, (1..=100).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_hear_of_workers_that_join_and_leave() {
    async fn changed(socket: Socket, Data(who): Data<Value>, what: &'static str) {
        socket.broadcast(what, &who).unwrap();
    }
    let redis = RedisServer::start().await;
    let early = join(&redis, "early").await;
    let app = App::new()
        .on("@portal-join", async |socket: Socket, who: Data<Value>| changed(socket, who, "joined").await)
        .on("@portal-leave", async |socket: Socket, who: Data<Value>| changed(socket, who, "left").await)
        .on("/here", async || ());
    let mut options = Options { lease: LEASE, ..Options::new(&redis.url()) };
    options.reports = Some(reports());
    let node = Node::connect(options, app).await;
    let mut peer = node.peer().await;
    node.knows_a_worker().await;
    let who = |worker: &Worker, group| json!({ "portal": worker.id(), "group": group, "project": "default" });
    let worker = join(&redis, "late").await;
    let mut told = Vec::new();
    while told.last() != Some(&("joined".into(), who(&worker, "late"))) {
        told.push(peer.next_event().await);
        // Of those who were there first it may have been told before the client came.
        assert!([&worker, &early].iter().any(|one| told.last().unwrap().1["portal"] == one.id()));
    }
    soon("it leaves", worker.leave()).await;
    assert_eq!(peer.next_event().await, ("left".into(), who(&worker, "late")));
    drop(early.clone());
    let id = who(&early, "early");
    drop(early);
    assert_eq!(peer.next_event().await, ("left".into(), id), "also of those who die");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_gives_way_in_a_full_partition() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start_with(&redis, Reports { backlog_max: 10, ..reports() }, App::new()).await;
    let mut peer = node.peer().await;
    let connection = next_job(&worker).await;
    for number in 1..=200 {
        peer.emit("/said", json!(number)).await;
    }
    // Of these the worker has read some by then, which are its own.
    let key = format!("switchboard:{{default}}:work:sent:{}", node.app().hub().bus().node());
    until("all are handed in", async || {
        query::<Option<u64>>(&redis, redis::cmd("GET").arg(&key)).await == Some(201)
    })
    .await;
    connection.ack();
    let mut numbers: Vec<u64> = Vec::new();
    while numbers.last() != Some(&200) {
        let job = next_job(&worker).await;
        if job.name() == "/said" {
            numbers.push(job.data().unwrap());
        }
        job.ack();
    }
    assert!(numbers.is_sorted() && numbers.len() < 200, "{numbers:?}");
    until("all are taken out", async || waiting(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_as_much_as_it_may_and_no_more() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start_with(&redis, Reports { bytes_max: 2000, ..reports() }, App::new()).await;
    let mut peer = node.peer().await;
    assert_eq!(next(&worker).await, did("connection"));
    peer.emit("/large", json!("x".repeat(3000))).await;
    peer.emit("/small", json!(1)).await;
    assert_eq!(next(&worker).await, message("/small", json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_what_the_node_says_that_comes_to_no_group() {
    let redis = RedisServer::start().await;
    let _node = Node::start_with(&redis, Reports { partitions: 4, ..reports() }, App::new()).await;
    let _worker = join(&redis, "all").await;
    until_owned(&redis, "all", &[4]).await;
    let other = Node::start(&redis).await;
    let _peer = other.peer().await;
    assert_eq!(redis.ask_text("GET switchboard:{default}:work:partitions").await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_carries_reports_and_answers() {
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
    assert_eq!(next(&worker).await, did("connection"));
    let answering = async {
        let job: Job = next_job(&worker).await;
        job.reply(&42).unwrap();
        job.ack();
    };
    assert_eq!(tokio::join!(peer.request("/ask", json!({})), answering).0, 42);
    soon("it leaves", worker.leave()).await;
}
