//! Nodes and workers of a test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};
use switchboard::backplane::{ClientAction, Report};
use switchboard::{App, Identity, Mesa, UserId};
use switchboard_redis::{Options, Redis, ReportOptions};
pub(crate) use switchboard_testkit::name;
pub(crate) use switchboard_testkit::until;
use switchboard_testkit::{Peer, RedisServer, TestServer, soon};
use switchboard_worker::{Job, Worker, WorkerOptions};

/// A short lease, for tests of its expiry.
pub(crate) const LEASE: Duration = Duration::from_millis(900);

pub(crate) fn reports() -> ReportOptions {
    ReportOptions::of(&name("default"))
}

/// A node that reports its clients.
pub(crate) struct Node {
    pub(crate) server: TestServer,
    pub(crate) redis: Redis,
}

impl Node {
    pub(crate) async fn start(redis: &RedisServer) -> Self {
        Node::start_with(redis, reports(), App::new()).await
    }

    pub(crate) async fn start_with(redis: &RedisServer, reports: ReportOptions, app: App) -> Self {
        let options = Options { reports: Some(reports), lease: LEASE, ..Options::new(&redis.url()) };
        Node::connect(options, app).await
    }

    pub(crate) async fn connect(options: Options, app: App) -> Self {
        let redis = Redis::connect(options).await.expect("Redis answers");
        let verifier = async |token: String| UserId::new(&token).map(Identity::new);
        let app = app.with_mesa(Mesa::new().on("HANDLED", async || ())).with_verifier(verifier);
        let app = app.with_backplane(&redis);
        Node { server: TestServer::start(app).await, redis }
    }

    pub(crate) fn app(&self) -> &App {
        &self.server.app
    }

    /// Connects an emit client.
    pub(crate) async fn peer(&self) -> Peer {
        self.server.peer().await
    }

    /// Connects a Mesa client and waits for its hello.
    pub(crate) async fn mesa(&self) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer
    }

    /// Waits until the node knows of a worker, so that requests are not refused.
    pub(crate) async fn knows_a_worker(&self) {
        let project = name("default");
        let sink = self.app().report_sink().expect("reports are on").clone();
        until("the node knows of a worker", async || sink.accepts(&project, true)).await;
    }
}

pub(crate) fn options(group: &str) -> WorkerOptions {
    WorkerOptions { lease: LEASE, ..WorkerOptions::new(name(group)) }
}

/// Starts a worker in this process.
pub(crate) async fn join(redis: &RedisServer, group: &str) -> Worker {
    Worker::connect(&redis.url(), options(group)).await.expect("Redis answers")
}

/// Acknowledges the next report and returns its summary.
pub(crate) async fn next_report(worker: &Worker) -> Value {
    let job = next_job(worker).await;
    let summary = summary(job.report());
    job.ack();
    summary
}

pub(crate) async fn next_job(worker: &Worker) -> Job {
    soon("a report", worker.next()).await.expect("the worker stays")
}

/// A report without ids and times, for comparisons.
pub(crate) fn summary(report: &Report) -> Value {
    let action = match &report.action {
        ClientAction::Connected => json!("connection"),
        ClientAction::Authenticated => json!("authentication"),
        ClientAction::Disconnected { code } => json!({ "disconnection": code }),
        ClientAction::Message(message) => {
            let wants_reply = message.reply_to.is_some();
            json!({ "op": message.op, "kind": message.kind, "data": message.data, "wantsReply": wants_reply })
        }
        other => unreachable!("workers do not receive {other:?}"),
    };
    json!({ "user": report.user, "action": action })
}

/// The summary of a message of an unauthenticated client that requests no reply.
pub(crate) fn message(kind: &str, data: Value) -> Value {
    json!({ "user": null, "action": { "op": 0, "kind": kind, "data": data, "wantsReply": false } })
}

/// The summary of an action of an unauthenticated client that is not a message.
pub(crate) fn action(action: impl Into<Value>) -> Value {
    json!({ "user": null, "action": action.into() })
}

/// Sends a command to Redis and returns its response.
pub(crate) async fn query<T: redis::FromRedisValue>(server: &RedisServer, command: &redis::Cmd) -> T {
    let client = redis::Client::open(server.url()).expect("the address is valid");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    command.query_async(&mut connection).await.expect("the command succeeds")
}

/// How many reports are stored for a group.
pub(crate) async fn stored(server: &RedisServer, group: &str) -> u64 {
    let mut sum = 0;
    for partition in 0..16 {
        let key = format!("switchboard:{{default}}:work:{partition}:{group}");
        sum += query::<u64>(server, redis::cmd("XLEN").arg(key)).await;
    }
    sum
}

/// The values of counters, by name. Counters are recorded here if they were created while this was the recorder.
#[derive(Default)]
pub(crate) struct Counts(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counts {
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.counter(name).load(Ordering::Relaxed)
    }

    fn counter(&self, name: &str) -> Arc<AtomicU64> {
        let mut counters = self.0.lock().expect("no test panics here");
        counters.entry(name.into()).or_default().clone()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.counter(key.name()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
