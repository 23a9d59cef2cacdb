//! One worker: order per client, redelivery, invalid entries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use switchboard_testkit::{RedisServer, soon};
use switchboard_worker::{Job, Worker, WorkerOptions};
use tokio::sync::Notify;

use crate::support::{Node, action, join, message, next_job, next_report, options, query, stored, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_in_progress_delays_only_its_own_client() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let (mut ann, mut bob) = (node.peer().await, node.peer().await);
    for _ in 0..2 {
        assert_eq!(next_report(&worker).await, action("connection"));
    }
    for number in 1..=30 {
        ann.emit("/ann", json!(number)).await;
    }
    let first = next_job(&worker).await;
    assert_eq!(first.name(), "/ann");
    for number in 1..=50 {
        bob.emit("/bob", json!(number)).await;
        assert_eq!(
            next_report(&worker).await,
            message("/bob", json!(number)),
            "ann's first report is in progress"
        );
    }
    first.ack();
    for number in 2..=30 {
        assert_eq!(next_report(&worker).await, message("/ann", json!(number)));
    }
    until("every report is removed from Redis", async || stored(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_of_different_clients_run_concurrently_and_a_panic_acknowledges_one_report() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let (seen, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let (runner, captured) = (worker.clone(), (both, seen.clone(), done.clone()));
    let handler = move |job: Job| {
        let (both, seen, done) = captured.clone();
        async move {
            match job.name() {
                "/meet" => {
                    both.wait().await;
                }
                "/panic" => panic!("on purpose"),
                "/last" => done.notify_one(),
                _ => {}
            }
            seen.lock().unwrap().push(job.name().to_owned());
        }
    };
    let running = async { runner.run(handler).await };
    let sending = async {
        let (mut ann, mut bob) = (node.peer().await, node.peer().await);
        ann.emit("/meet", json!({})).await;
        bob.emit("/meet", json!({})).await;
        ann.emit("/panic", json!({})).await;
        ann.emit("/last", json!({})).await;
        soon("the last report is handled", done.notified()).await;
        soon("the worker leaves", worker.leave()).await;
    };
    tokio::join!(running, sending);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["", "", "/last", "/meet", "/meet"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_job_is_redelivered_and_marked() {
    let redis = RedisServer::start().await;
    let worker = join(&redis, "all").await;
    let node = Node::start(&redis).await;
    let mut peer = node.peer().await;
    peer.emit("/one", json!(1)).await;
    peer.emit("/two", json!(2)).await;
    assert_eq!(next_report(&worker).await, action("connection"));
    let dropped = next_job(&worker).await;
    assert!(!dropped.redelivered());
    let id = dropped.id();
    drop(dropped);
    let again = next_job(&worker).await;
    assert_eq!((again.name(), again.id(), again.redelivered()), ("/one", id, true));
    again.ack();
    let two = next_job(&worker).await;
    assert_eq!((two.name(), two.redelivered()), ("/two", false));
    assert!(two.id() > id, "ids of one node increase");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaving_worker_finishes_its_reports_and_the_rest_are_not_marked_as_redelivered() {
    let redis = RedisServer::start().await;
    let (first, node) = (join(&redis, "all").await, Node::start(&redis).await);
    let mut peer = node.peer().await;
    for number in 1..=3 {
        peer.emit("/chat", json!(number)).await;
    }
    assert_eq!(next_report(&first).await, action("connection"));
    let job = next_job(&first).await;
    let second = join(&redis, "all").await;
    let leaving = async { soon("the worker leaves", first.leave()).await };
    let finishing = async {
        assert!(soon("no further report is handed out", first.next()).await.is_none());
        job.ack();
    };
    tokio::join!(leaving, finishing);
    for number in 2..=3 {
        let job = next_job(&second).await;
        assert_eq!((job.data::<u64>().unwrap(), job.redelivered()), (number, false));
        job.ack();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_entries_are_removed_and_delay_no_client() {
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
    peer.emit("/chat", json!(1)).await;
    assert_eq!(next_report(&worker).await, action("connection"));
    assert_eq!(next_report(&worker).await, message("/chat", json!(1)));
    until("every report is removed from Redis", async || stored(&redis, "all").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_workers_is_deleted_after_its_retention() {
    let redis = RedisServer::start().await;
    let retention = Duration::from_millis(200);
    let brief = WorkerOptions { group_retention: retention, ..options("brief") };
    let worker = Worker::connect(&redis.url(), brief).await.unwrap();
    let node = Node::start(&redis).await;
    let _peer = node.peer().await;
    until("the report is stored", async || stored(&redis, "brief").await == 1).await;
    soon("the worker leaves", worker.leave()).await;
    until("the group is deleted", async || {
        redis.ask("EXISTS switchboard:{default}:work:groups").await == ":0"
    })
    .await;
    assert_eq!(stored(&redis, "brief").await, 0);
    assert!(!node.app().report_sink().unwrap().accepts(&crate::support::name("default"), false));
}
