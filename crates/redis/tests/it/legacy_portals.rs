//! Switchboard nodes and legacy Mesa Portals in Node.js on one Redis. The tests need the npm packages of
//! `tests/portal`; `./test` installs them and runs these tests.

use std::process::Stdio;

use serde_json::{Value, json};
use switchboard::{App, Data, Identity, Mesa, ProjectId, Socket, UserId};
use switchboard_redis::{LegacyPortals, Options, Redis, ReportOptions};
use switchboard_testkit::redis::signal_process;
use switchboard_testkit::{Peer, RedisServer, TestServer, soon};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{options, query, until};

/// A legacy Portal. Dropping it stops the process.
struct Portal {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    id: String,
}

impl Portal {
    async fn start(server: &RedisServer, settings: Value) -> Self {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/portal/drive.mjs"))
            .args([server.port().to_string(), settings.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("`node` is installed");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("the stream is piped")).lines();
        let mut portal = Portal { process, input, output, id: String::new() };
        let first = portal.next().await;
        assert_eq!(first[0], "id", "are the npm packages of tests/portal installed?");
        portal.id = first[1].as_str().expect("an id is text").into();
        portal
    }

    /// The next event that the Portal reports.
    async fn next(&mut self) -> Value {
        let line = soon("an event is reported", self.output.next_line()).await.expect("the Portal runs");
        let line = line.expect("the Portal has ended; are the npm packages of tests/portal installed?");
        serde_json::from_str(&line).expect("the output is JSON")
    }

    /// The number in the next reported message.
    async fn next_number(&mut self) -> Value {
        self.next().await[3]["n"].clone()
    }

    /// Stops it with SIGTERM.
    async fn stop(mut self) {
        signal_process(self.process.id().expect("the Portal runs"), "-TERM");
        soon("the process ends", self.process.wait()).await.expect("the process has ended");
    }

    /// Kills it, so that it does not announce its end.
    async fn kill(mut self) {
        drop(self.input.take());
        soon("the process ends", self.process.wait()).await.expect("the process has ended");
    }
}

struct Node {
    server: TestServer,
    _redis: Redis,
}

impl Node {
    async fn start(server: &RedisServer, distribute_load: bool) -> Self {
        let project = ProjectId::new("default").unwrap();
        let namespace = Some("api".into());
        let portals = LegacyPortals { namespace, distribute_load, ..LegacyPortals::of(&project) };
        let reports = ReportOptions { legacy_portals: Some(portals), ..ReportOptions::of(&project) };
        let redis = Redis::connect(Options { reports: Some(reports), ..options(server) }).await.unwrap();
        let verifier = async |token: String| UserId::new(&token).map(Identity::new);
        let mesa = Mesa::new()
            .on("@portal-join", async |socket: Socket, portal: Data<Value>| {
                announce(&socket, "in", &portal.0)
            })
            .on("@portal-leave", async |socket: Socket, portal: Data<Value>| {
                announce(&socket, "out", &portal.0)
            });
        let app = App::new().with_mesa(mesa).with_verifier(verifier).with_backplane(&redis);
        Node { server: TestServer::start(app).await, _redis: redis }
    }

    /// A Mesa client that has received the hello message.
    async fn client(&self) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer
    }

    fn accepts_reports(&self) -> bool {
        self.server.app.report_sink().unwrap().accepts(self.server.app.project_id(), false)
    }
}

fn announce(socket: &Socket, event: &str, portal: &Value) {
    socket.broadcast(event, portal).unwrap();
}

fn ping(number: u64) -> Value {
    json!({ "op": 0, "d": { "n": number }, "t": "PING" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_portal_receives_all_client_actions_in_order() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let mut early = node.client().await;
    early.send(&ping(0)).await;
    early.silent().await.unwrap();
    let mut portal = Portal::start(&redis, json!({ "namespace": "api" })).await;
    until("the node knows the Portal", async || node.accepts_reports()).await;
    let mut peer = node.client().await;
    peer.send(&ping(1)).await;
    peer.send(&json!({ "op": 2, "d": { "token": "7" } })).await;
    peer.send(&json!({ "op": 7, "d": [1e300] })).await;
    for number in 2..200 {
        peer.send(&ping(number)).await;
    }
    assert_eq!(portal.next().await, json!(["connection", null]), "no action from before the Portal started");
    assert_eq!(portal.next().await, json!(["message", null, 0, { "n": 1 }, "PING"]));
    assert_eq!(portal.next().await, json!(["authentication", "7"]));
    assert_eq!(portal.next().await, json!(["message", "7", 7, [1e300], null]));
    for number in 2..200 {
        assert_eq!(portal.next().await, json!(["message", "7", 0, { "n": number }, "PING"]));
    }
    peer.send_close(1000).await;
    assert_eq!(portal.next().await, json!(["disconnection", "7"]));
}

/// Asserts that the next event of a client announces that a portal started ("in") or ended ("out").
async fn expect_portal_event(watcher: &mut Peer, event: &str, portal: &str) {
    let data = json!({ "portal": portal, "group": null, "project": "default" });
    assert_eq!(watcher.next().await, json!({ "op": 0, "d": data, "t": event }));
}

async fn send_pings(peer: &mut Peer, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        peer.send(&ping(number)).await;
    }
}

/// A client, and two portals that the node has discovered in this order.
async fn two_portals(redis: &RedisServer, node: &Node) -> (Peer, Portal, Portal) {
    let mut peer = node.client().await;
    let first = Portal::start(redis, json!({ "namespace": "api" })).await;
    expect_portal_event(&mut peer, "in", &first.id).await;
    let second = Portal::start(redis, json!({ "namespace": "api" })).await;
    expect_portal_event(&mut peer, "in", &second.id).await;
    (peer, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn portals_take_turns_and_one_can_receive_everything() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let (mut peer, mut first, mut second) = two_portals(&redis, &node).await;
    send_pings(&mut peer, 1..=4).await;
    for number in [1, 3] {
        assert_eq!(second.next_number().await, number);
        assert_eq!(first.next_number().await, number + 1);
    }
    // A portal of another namespace receives nothing.
    let _other = Portal::start(&redis, json!({})).await;
    let mut all = Portal::start(&redis, json!({ "namespace": "api", "reportAllEvents": true })).await;
    expect_portal_event(&mut peer, "in", &all.id).await;
    send_pings(&mut peer, 5..=10).await;
    for number in 5..=10 {
        assert_eq!(all.next_number().await, number);
    }
    for number in [5, 8] {
        assert_eq!(second.next_number().await, number);
        assert_eq!(first.next_number().await, number + 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn without_load_distribution_portals_are_chosen_at_random() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, false).await;
    let (mut peer, mut first, mut second) = two_portals(&redis, &node).await;
    send_pings(&mut peer, 1..=200).await;
    let (mut to_first, mut to_second) = (Vec::new(), Vec::new());
    while to_first.len() + to_second.len() < 200 {
        tokio::select! {
            number = first.next_number() => to_first.push(number.as_u64().unwrap()),
            number = second.next_number() => to_second.push(number.as_u64().unwrap()),
        }
    }
    assert!(to_first.is_sorted() && to_second.is_sorted());
    let alternates = |list: &[u64]| list.windows(2).all(|pair| pair[1] == pair[0] + 2);
    assert!(!alternates(&to_first) && !to_first.is_empty() && !to_second.is_empty(), "{to_first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn nodes_follow_portals_that_leave_crash_and_start() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let (mut peer, first, mut second) = two_portals(&redis, &node).await;
    let left = first.id.clone();
    first.stop().await;
    expect_portal_event(&mut peer, "out", &left).await;
    send_pings(&mut peer, 1..=3).await;
    for number in 1..=3 {
        assert_eq!(second.next_number().await, number);
    }
    let dead = second.id.clone();
    second.kill().await;
    send_pings(&mut peer, 4..=5).await;
    expect_portal_event(&mut peer, "out", &dead).await;
    let key = "available_portals_pool_api";
    assert_eq!(query::<Vec<String>>(&redis, redis::cmd("SMEMBERS").arg(key)).await, [dead]);
    assert!(
        !node.accepts_reports(),
        "a portal without a subscription receives no reports although it is in the set"
    );
    let before = set_reads(&redis).await;
    let mut third = Portal::start(&redis, json!({ "namespace": "api" })).await;
    expect_portal_event(&mut peer, "in", &third.id).await;
    until("the set is read again", async || set_reads(&redis).await > before).await;
    send_pings(&mut peer, 6..=8).await;
    for number in 6..=8 {
        assert_eq!(third.next_number().await, number, "a dead portal gets no turn although it is in the set");
    }
}

/// The number of reads of sets so far.
async fn set_reads(server: &RedisServer) -> u64 {
    let info = server.ask_text("INFO commandstats").await;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_smembers:calls="));
    calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_node_finds_portals_that_started_before_it() {
    let redis = RedisServer::start().await;
    let mut portal = Portal::start(&redis, json!({ "namespace": "api" })).await;
    let node = Node::start(&redis, true).await;
    let mut peer = node.client().await;
    send_pings(&mut peer, 1..=1).await;
    assert_eq!(portal.next().await, json!(["connection", null]));
    assert_eq!(portal.next_number().await, 1);
}
