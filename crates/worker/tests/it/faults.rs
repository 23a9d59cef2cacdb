//! Workers that are killed or suspended, and Redis failures.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::SocketId;
use switchboard_testkit::redis::signal_process;
use switchboard_testkit::{Peer, RedisServer, SOON};
use switchboard_worker::{Job, Worker, WorkerOptions};

use crate::support::{
    Counts, LEASE, Node, action, join, message, next_job, next_report, options, query, stored, until,
};

/// A worker in a separate process, the example `journal`; it is killed at the end of the test.
struct Process {
    child: Child,
    lines: mpsc::Receiver<Value>,
    id: String,
}

impl Process {
    fn start(redis: &RedisServer, group: &str) -> Self {
        let mut child = Command::new(journal())
            .args([&redis.url(), group, "process", &LEASE.as_millis().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the examples are built");
        let output = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            use std::io::BufRead;
            for line in output.lines().map_while(Result::ok) {
                // The last line of a killed process may be incomplete.
                let Ok(line) = serde_json::from_str(&line) else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let first: Value = lines.recv_timeout(SOON).expect("the worker joins");
        Process { child, lines, id: first["id"].as_str().expect("an id").into() }
    }

    /// Waits for the next line.
    fn line(&self) -> Value {
        self.lines.recv_timeout(SOON).expect("the worker prints a line")
    }

    fn kill(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        self.child.wait().expect("the process has ended");
    }

    /// Kills the process and returns the lines that were not read yet.
    fn end(mut self) -> Vec<Value> {
        self.kill();
        self.lines.iter().collect()
    }

    fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn journal() -> PathBuf {
    let this = std::env::current_exe().expect("a test is a program");
    let target = this.ancestors().nth(2).expect("tests are in the directory of dependencies");
    target.join("examples").join("journal")
}

/// Checks that every report of each client was handled in order, and that every repetition is marked as
/// redelivered.
fn check_order(lines: &[Value], clients: usize, count: u64) {
    let mut handled: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["name"] == "/chat") {
        let entry = (line["data"].as_u64().unwrap(), line["redelivered"] == true);
        handled.entry(line["socket"].as_str().unwrap()).or_default().push(entry);
    }
    assert_eq!(handled.len(), clients);
    for numbers in handled.values() {
        let mut next = 1;
        for (number, redelivered) in numbers {
            assert!(*number == next || (*number < next && *redelivered), "{numbers:?}");
            next = next.max(number + 1);
        }
        assert_eq!(next, count + 1);
    }
}

async fn emit_each(peers: &mut [Peer], numbers: std::ops::Range<u64>) {
    for number in numbers {
        for peer in peers.iter_mut() {
            peer.emit("/chat", json!(number)).await;
        }
    }
}

async fn owner_count(redis: &RedisServer) -> usize {
    let key = "switchboard:{default}:work:owners:all";
    let owners: HashMap<String, String> = query(redis, redis::cmd("HGETALL").arg(key)).await;
    owners.into_values().filter(|by| !by.is_empty()).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_worker_loses_no_report_and_keeps_the_order_of_each_client() {
    let redis = RedisServer::start().await;
    let mut workers = [Process::start(&redis, "all"), Process::start(&redis, "all")];
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    until("both workers own partitions", async || owner_count(&redis).await == 2).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(node.peer().await);
    }
    emit_each(&mut peers, 1..101).await;
    // The worker is killed while it handles reports.
    let mut lines = vec![workers[0].line()];
    workers[0].kill();
    emit_each(&mut peers, 101..201).await;
    until("every report is handled", async || stored(&redis, "all").await == 0).await;
    for worker in workers {
        lines.extend(worker.end());
    }
    check_order(&lines, 20, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_suspended_beyond_its_lease_loses_its_clients_and_rejoins() {
    let redis = RedisServer::start().await;
    let suspended = Process::start(&redis, "all");
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    let mut peers = vec![node.peer().await, node.peer().await, node.peer().await];
    emit_each(&mut peers, 1..51).await;
    until("the first worker handles reports", async || stored(&redis, "all").await < 100).await;
    suspended.signal("-STOP");
    let other = Process::start(&redis, "all");
    emit_each(&mut peers, 51..101).await;
    until("the other worker handles the rest", async || stored(&redis, "all").await == 0).await;
    let key = "switchboard:{default}:work:owners:all";
    until("the other worker owns all partitions", async || {
        let owners: HashMap<String, String> = query(&redis, redis::cmd("HGETALL").arg(key)).await;
        owners.values().filter(|by| **by == other.id).count() == 16
    })
    .await;
    suspended.signal("-CONT");
    until("the first worker owns partitions again", async || owner_count(&redis).await == 2).await;
    emit_each(&mut peers, 101..151).await;
    until("every report is handled", async || stored(&redis, "all").await == 0).await;
    let (suspended, other) = (suspended.end(), other.end());
    let redelivered = |line: &&Value| line["redelivered"] == true;
    assert!(!suspended.iter().any(|line| redelivered(&line)), "reports after its return are new");
    let mut handled: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for line in suspended.iter().chain(&other).filter(|line| line["name"] == "/chat") {
        let number = line["data"].as_u64().expect("a number");
        *handled.entry((line["socket"].to_string(), number)).or_default() += 1;
        assert!(number <= 100 || !redelivered(&line), "{line}");
    }
    assert_eq!(handled.len(), 450, "no report is lost");
    let repeated =
        other.iter().filter(redelivered).map(|line| (line["socket"].to_string(), line["data"].as_u64()));
    let repeated: Vec<(String, u64)> = repeated.filter_map(|(socket, data)| Some((socket, data?))).collect();
    for (report, _) in handled.iter().filter(|(_, times)| **times > 1) {
        assert!(repeated.contains(report), "{report:?} was redelivered without the mark");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_a_partition_does_not_remove_its_reports() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let _peer = node.peer().await;
    let job = next_job(&worker).await;
    // Another worker owns every partition now and keeps its lease.
    let now: Vec<u64> = query(&redis, &redis::cmd("TIME")).await;
    let mut command = redis::cmd("ZADD");
    command.arg("switchboard:{default}:work:workers:all").arg(now[0] * 1000 + 60_000).arg("another");
    let _: u64 = query(&redis, &command).await;
    let mut command = redis::cmd("HSET");
    command.arg("switchboard:{default}:work:owners:all");
    (0..16).for_each(|partition| {
        command.arg(partition).arg("another");
    });
    let _: u64 = query(&redis, &command).await;
    job.ack();
    soon_left(&worker).await;
    assert_eq!(stored(&redis, "all").await, 1);
}

async fn soon_left(worker: &Worker) {
    switchboard_testkit::soon("the worker leaves", worker.leave()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_report_is_handled_once_after_redis_was_suspended() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    assert_eq!(next_report(&worker).await, action("connection"));
    peer.emit("/chat", json!("first")).await;
    assert_eq!(next_report(&worker).await, message("/chat", json!("first")));
    redis.pause();
    for number in 1..100 {
        peer.emit("/chat", json!(number)).await;
    }
    // Longer than the response time-out, so connections are closed, possibly with commands in flight.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    redis.resume();
    for number in 1..100 {
        assert_eq!(next_report(&worker).await, message("/chat", json!(number)));
    }
    until("every report is removed from Redis", async || stored(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_continue_after_redis_restarts_empty() {
    let mut redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    assert_eq!(next_report(&worker).await, action("connection"));
    redis.kill();
    redis.run_again().await;
    until("the group exists again", async || {
        redis.ask("EXISTS switchboard:{default}:work:groups").await == ":1"
    })
    .await;
    node.knows_a_worker().await;
    let id = SocketId::random();
    until("a report arrives", async || {
        peer.emit("/chat", json!(id)).await;
        let got = tokio::time::timeout(Duration::from_millis(100), worker.next()).await;
        let Ok(Some(job)) = got else { return false };
        assert_eq!(job.name(), "/chat");
        job.ack();
        true
    })
    .await;
}

/// Sends a request as a client, and returns its job.
async fn request(worker: &Worker, peer: &mut Peer, ack_id: &str) -> Job {
    peer.send(&json!({ "event": "/sum", "data": 20, "ackId": ack_id })).await;
    next_job(worker).await
}

// Single-threaded, because the recorder is local to its thread.
#[tokio::test]
async fn replies_that_cannot_be_sent_are_counted() {
    let counts = Counts::default();
    let _recorder = metrics::set_default_local_recorder(&counts);
    let lost = || counts.of("switchboard_worker_replies_lost_total");
    let redis = RedisServer::start().await;
    let options = WorkerOptions {
        // So that the reply is the only command in flight when Redis is suspended.
        lease: Duration::from_secs(60),
        leave_timeout: Duration::ZERO,
        ..options("all")
    };
    let worker = Worker::connect(&redis.url(), options).await.expect("Redis answers");
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    let (mut peer, mut other) = (node.peer().await, node.peer().await);
    assert_eq!(
        [next_report(&worker).await, next_report(&worker).await],
        [action("connection"), action("connection")]
    );

    let job = request(&worker, &mut peer, "a1").await;
    job.reply(&40).unwrap();
    job.ack();
    assert_eq!(peer.next().await["data"], 40);
    assert_eq!(lost(), 0, "a delivered reply is not lost");

    let late = request(&worker, &mut other, "a1").await;
    let job = request(&worker, &mut peer, "a2").await;
    redis.pause();
    job.reply(&41).unwrap();
    until("the reply times out", async || lost() == 1).await;
    redis.resume();

    soon_left(&worker).await;
    late.reply(&42).unwrap();
    drop((worker, job, late));
    until("the last reply is dropped with the worker", async || lost() == 2).await;
}
