//! Workers that die and stand still, and Redis that does.

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
    Counts, LEASE, Node, did, join, message, next, next_job, options, query, until, waiting,
};

/// A worker that is a process of its own, the example `journal`; it ends with the test.
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
                // A line that was cut off by the end of the process is no line.
                let Ok(line) = serde_json::from_str(&line) else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let first: Value = lines.recv_timeout(SOON).expect("it joins");
        Process { child, lines, id: first["id"].as_str().expect("an id").into() }
    }

    /// Waits for the next line.
    fn line(&self) -> Value {
        self.lines.recv_timeout(SOON).expect("it says something")
    }

    fn kill(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        self.child.wait().expect("it has ended");
    }

    /// Ends it; all that it has said and nobody has looked at.
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
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn journal() -> PathBuf {
    let this = std::env::current_exe().expect("a test is a program");
    let target = this.ancestors().nth(2).expect("it lies in the directory of dependencies");
    target.join("examples").join("journal")
}

/// Checks that of each client everything is there, and that only what says so comes again: nothing comes
/// behind what is later, but for repetitions.
fn check_order(lines: &[Value], clients: usize, count: u64) {
    let mut heard: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["name"] == "/said") {
        let entry = (line["data"].as_u64().unwrap(), line["redelivered"] == true);
        heard.entry(line["socket"].as_str().unwrap()).or_default().push(entry);
    }
    assert_eq!(heard.len(), clients);
    for numbers in heard.values() {
        let mut next = 1;
        for (number, redelivered) in numbers {
            assert!(*number == next || (*number < next && *redelivered), "{numbers:?}");
            next = next.max(number + 1);
        }
        assert_eq!(next, count + 1);
    }
}

async fn say(peers: &mut [Peer], numbers: std::ops::Range<u64>) {
    for number in numbers {
        for peer in peers.iter_mut() {
            peer.emit("/said", json!(number)).await;
        }
    }
}

async fn owner_count(redis: &RedisServer) -> usize {
    let key = "switchboard:{default}:work:owners:all";
    let owners: HashMap<String, String> = query(redis, redis::cmd("HGETALL").arg(key)).await;
    owners.into_values().filter(|by| !by.is_empty()).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_nothing_and_no_client_its_order() {
    let redis = RedisServer::start().await;
    let mut workers = [Process::start(&redis, "all"), Process::start(&redis, "all")];
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    until("both have partitions", async || owner_count(&redis).await == 2).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(node.peer().await);
    }
    say(&mut peers, 1..101).await;
    // In the middle of its work.
    let mut lines = vec![workers[0].line()];
    workers[0].kill();
    say(&mut peers, 101..201).await;
    until("all is handled", async || waiting(&redis, "all").await == 0).await;
    for worker in workers {
        lines.extend(worker.end());
    }
    check_order(&lines, 20, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_beyond_its_lease_finds_its_clients_gone_and_comes_back() {
    let redis = RedisServer::start().await;
    let still = Process::start(&redis, "all");
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    let mut peers = vec![node.peer().await, node.peer().await, node.peer().await];
    say(&mut peers, 1..51).await;
    until("it has begun", async || waiting(&redis, "all").await < 100).await;
    still.signal("-STOP");
    let other = Process::start(&redis, "all");
    say(&mut peers, 51..101).await;
    until("the other one handled the rest", async || waiting(&redis, "all").await == 0).await;
    let key = "switchboard:{default}:work:owners:all";
    until("all partitions are the other one's", async || {
        let owners: HashMap<String, String> = query(&redis, redis::cmd("HGETALL").arg(key)).await;
        owners.values().filter(|by| **by == other.id).count() == 16
    })
    .await;
    still.signal("-CONT");
    until("it has its share again", async || owner_count(&redis).await == 2).await;
    say(&mut peers, 101..151).await;
    until("all is handled", async || waiting(&redis, "all").await == 0).await;
    let (still, other) = (still.end(), other.end());
    let begun = |line: &&Value| line["redelivered"] == true;
    assert!(!still.iter().any(|line| begun(&line)), "what it gets after its return is new");
    let mut handled: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for line in still.iter().chain(&other).filter(|line| line["name"] == "/said") {
        let number = line["data"].as_u64().expect("a number");
        *handled.entry((line["socket"].to_string(), number)).or_default() += 1;
        assert!(number <= 100 || !begun(&line), "{line}");
    }
    assert_eq!(handled.len(), 450, "nothing is lost");
    let again = other.iter().filter(begun).map(|line| (line["socket"].to_string(), line["data"].as_u64()));
    let again: Vec<(String, u64)> = again.filter_map(|(socket, data)| Some((socket, data?))).collect();
    for (what, _) in handled.iter().filter(|(_, times)| **times > 1) {
        assert!(again.contains(what), "{what:?} came again and did not say so");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_a_client_does_not_take_its_reports_out() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let _peer = node.peer().await;
    let begun = next_job(&worker).await;
    // Somebody else has everything now, and holds on to it.
    let now: Vec<u64> = query(&redis, &redis::cmd("TIME")).await;
    let mut command = redis::cmd("ZADD");
    command.arg("switchboard:{default}:work:workers:all").arg(now[0] * 1000 + 60_000).arg("somebody");
    let _: u64 = query(&redis, &command).await;
    let mut command = redis::cmd("HSET");
    command.arg("switchboard:{default}:work:owners:all");
    (0..16).for_each(|partition| {
        command.arg(partition).arg("somebody");
    });
    let _: u64 = query(&redis, &command).await;
    begun.ack();
    soon_left(&worker).await;
    assert_eq!(waiting(&redis, "all").await, 1);
}

async fn soon_left(worker: &Worker) {
    switchboard_testkit::soon("it leaves", worker.leave()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stands_still_and_goes_on_and_every_report_is_handled_once() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    assert_eq!(next(&worker).await, did("connection"));
    peer.emit("/said", json!("first")).await;
    assert_eq!(next(&worker).await, message("/said", json!("first")));
    redis.pause();
    for number in 1..100 {
        peer.emit("/said", json!(number)).await;
    }
    // Longer than answers are waited for: connections are given up, perhaps with something in them.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    redis.resume();
    for number in 1..100 {
        assert_eq!(next(&worker).await, message("/said", json!(number)));
    }
    until("all are taken out", async || waiting(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_empty_and_work_goes_on() {
    let mut redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    assert_eq!(next(&worker).await, did("connection"));
    redis.kill();
    redis.run_again().await;
    until("the group is there", async || redis.ask("EXISTS switchboard:{default}:work:groups").await == ":1")
        .await;
    node.knows_a_worker().await;
    let id = SocketId::random();
    until("a report arrives", async || {
        peer.emit("/said", json!(id)).await;
        let got = tokio::time::timeout(Duration::from_millis(100), worker.next()).await;
        let Ok(Some(job)) = got else { return false };
        assert_eq!(job.name(), "/said");
        job.ack();
        true
    })
    .await;
}

/// Has a client ask, and takes its question.
async fn asked(worker: &Worker, peer: &mut Peer, ack_id: &str) -> Job {
    peer.send(&json!({ "event": "/sum", "data": 20, "ackId": ack_id })).await;
    next_job(worker).await
}

// On one thread, that of the recorder.
#[tokio::test]
async fn answers_that_cannot_be_sent_are_counted() {
    let counts = Counts::default();
    let _recorder = metrics::set_default_local_recorder(&counts);
    let lost = || counts.of("switchboard_work_answers_lost_total");
    let redis = RedisServer::start().await;
    let options = WorkerOptions {
        // So that nothing but the answer is under way when Redis stands still.
        lease: Duration::from_secs(60),
        leave_timeout: Duration::ZERO,
        ..options("all")
    };
    let worker = Worker::connect(&redis.url(), options).await.expect("Redis answers");
    let node = Node::start(&redis).await;
    node.knows_a_worker().await;
    let (mut peer, mut other) = (node.peer().await, node.peer().await);
    assert_eq!([next(&worker).await, next(&worker).await], [did("connection"), did("connection")]);

    let job = asked(&worker, &mut peer, "a1").await;
    job.reply(&40).unwrap();
    job.ack();
    assert_eq!(peer.next().await["data"], 40);
    assert_eq!(lost(), 0, "what arrived is not lost");

    let late = asked(&worker, &mut other, "a1").await;
    let job = asked(&worker, &mut peer, "a2").await;
    redis.pause();
    job.reply(&41).unwrap();
    until("Redis does not answer in time", async || lost() == 1).await;
    redis.resume();

    soon_left(&worker).await;
    late.reply(&42).unwrap();
    drop((worker, job, late));
    until("nobody is left to send the last", async || lost() == 2).await;
}
