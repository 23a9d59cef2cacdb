//! One worker: the order of a client, what is given back, what is no report.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use switchboard_testkit::{RedisServer, soon};
use switchboard_worker::{Job, Worker, WorkerOptions};
use tokio::sync::Notify;

use crate::support::{Node, did, join, message, next, next_job, options, query, until, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_waits_for_itself_and_nobody_for_another() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let (mut ann, mut bob) = (node.peer().await, node.peer().await);
    for _ in 0..2 {
        assert_eq!(next(&worker).await, did("connection"));
    }
    for number in 1..=30 {
        ann.emit("/ann", json!(number)).await;
    }
    let first = next_job(&worker).await;
    assert_eq!(first.name(), "/ann");
    for number in 1..=50 {
        bob.emit("/bob", json!(number)).await;
        assert_eq!(next(&worker).await, message("/bob", json!(number)), "ann's first is not over");
    }
    first.ack();
    for number in 2..=30 {
        assert_eq!(next(&worker).await, message("/ann", json!(number)));
    }
    until("all are taken out", async || waiting(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_run_side_by_side_and_a_panic_costs_one_report() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let (seen, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let (handles, by) = (worker.clone(), (both, seen.clone(), done.clone()));
    let handler = move |job: Job| {
        let (both, seen, done) = by.clone();
        async move {
            match job.name() {
                "/meet" => {
                    both.wait().await;
                }
                "/panic" => panic!("as it was asked to"),
                "/last" => done.notify_one(),
                _ => {}
            }
            seen.lock().unwrap().push(job.name().to_owned());
        }
    };
    let running = async { handles.run(handler).await };
    let talking = async {
        let (mut ann, mut bob) = (node.peer().await, node.peer().await);
        ann.emit("/meet", json!({})).await;
        bob.emit("/meet", json!({})).await;
        ann.emit("/panic", json!({})).await;
        ann.emit("/last", json!({})).await;
        soon("the last is handled", done.notified()).await;
        soon("it leaves", worker.leave()).await;
    };
    tokio::join!(running, talking);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["", "", "/last", "/meet", "/meet"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_comes_again_and_says_so() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    peer.emit("/one", json!(1)).await;
    peer.emit("/two", json!(2)).await;
    assert_eq!(next(&worker).await, did("connection"));
    let dropped = next_job(&worker).await;
    assert!(!dropped.redelivered());
    let id = dropped.id();
    drop(dropped);
    let again = next_job(&worker).await;
    assert_eq!((again.name(), again.id(), again.redelivered()), ("/one", id, true));
    again.ack();
    let two = next_job(&worker).await;
    assert_eq!((two.name(), two.redelivered()), ("/two", false));
    assert!(two.id() > id, "numbers of a node grow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_finishes_what_it_began_and_repeats_nothing() {
    let redis = RedisServer::start().await;
    let (first, node) = (join(&redis, "all").await, Node::start(&redis).await);
    let mut peer = node.peer().await;
    for number in 1..=3 {
        peer.emit("/said", json!(number)).await;
    }
    assert_eq!(next(&first).await, did("connection"));
    let begun = next_job(&first).await;
    let second = join(&redis, "all").await;
    let leaving = async { soon("it leaves", first.leave()).await };
    let finishing = async {
        assert!(soon("no more is handed out", first.next()).await.is_none());
        begun.ack();
    };
    tokio::join!(leaving, finishing);
    for number in 2..=3 {
        let job = next_job(&second).await;
        assert_eq!((job.data::<u64>().unwrap(), job.redelivered()), (number, false));
        job.ack();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_report_is_taken_out_and_holds_nobody_up() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    for partition in 0..16 {
        for (field, value) in [("r", "garbage"), ("r", "{\"id\":\"x\"}"), ("other", "{}"), ("r", "")] {
            let key = format!("switchboard:{{default}}:work:{partition}:all");
            let mut command = redis::cmd("XADD");
            let _: String = query(&redis, command.arg(key).arg("*").arg(field).arg(value)).await;
        }
    }
    for channel in ["switchboard:{default}:work", "switchboard:{default}:to:="] {
        let _: u64 = query(&redis, redis::cmd("PUBLISH").arg(channel).arg("\u{0}garbage")).await;
    }
    let mut peer = node.peer().await;
    peer.emit("/said", json!(1)).await;
    assert_eq!(next(&worker).await, did("connection"));
    assert_eq!(next(&worker).await, message("/said", json!(1)));
    until("all are taken out", async || waiting(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_nobody_works_for_is_forgotten() {
    let redis = RedisServer::start().await;
    let stands = Duration::from_millis(200);
    let brief = WorkerOptions { group_retention: stands, ..options("brief") };
    let worker = Worker::connect(&redis.url(), brief).await.unwrap();
    let node = Node::start(&redis).await;
    let _peer = node.peer().await;
    until("it waits", async || waiting(&redis, "brief").await == 1).await;
    soon("it leaves", worker.leave()).await;
    until("it is forgotten", async || redis.ask("EXISTS switchboard:{default}:work:groups").await == ":0")
        .await;
    assert_eq!(waiting(&redis, "brief").await, 0);
    assert!(!node.app().portal().unwrap().takes(&crate::support::name("default"), false));
}
