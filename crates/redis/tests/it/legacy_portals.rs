//! Switchboard nodes and original Mesa Portals in Node.js, on one Redis. They need the npm packages of
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

/// An original portal; it ends with the test.
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
        let output = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut portal = Portal { process, input, output, id: String::new() };
        let first = portal.next().await;
        assert_eq!(first[0], "id", "are the packages of tests/portal installed?");
        portal.id = first[1].as_str().expect("an id is text").into();
        portal
    }

    /// The next that it is told.
    async fn next(&mut self) -> Value {
        let line = soon("it is told something", self.output.next_line()).await.expect("it runs");
        let line = line.expect("it runs; are the packages of tests/portal installed?");
        serde_json::from_str(&line).expect("it speaks JSON")
    }

    /// The next that it is told about the client that says its number.
    async fn said(&mut self) -> Value {
        self.next().await[3]["n"].clone()
    }

    /// Ends it as a deployment would.
    async fn stop(mut self) {
        signal_process(self.process.id().expect("it runs"), "-TERM");
        soon("it ends", self.process.wait()).await.expect("it has ended");
    }

    /// Ends it without a word.
    async fn kill(mut self) {
        drop(self.input.take());
        soon("it ends", self.process.wait()).await.expect("it has ended");
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
        let verifier = async |token: String| {
            UserId::new(&token).map(|user| Identity { user, expires: None, profile: None })
        };
        let mesa = Mesa::new()
            .on("@portal-join", async |socket: Socket, who: Data<Value>| tell(&socket, "in", &who.0))
            .on("@portal-leave", async |socket: Socket, who: Data<Value>| tell(&socket, "out", &who.0));
        let app = App::new().with_mesa(mesa).with_verifier(verifier).with_backplane(&redis);
        Node { server: TestServer::start(app).await, _redis: redis }
    }

    /// A Mesa client that has been greeted.
    async fn client(&self) -> Peer {
        let mut peer = Peer::connect(&self.server.url("/mesa")).await;
        assert_eq!(peer.next().await["op"], 10);
        peer
    }

    fn is_taken(&self) -> bool {
        self.server.app.report_sink().unwrap().accepts(self.server.app.project_id(), false)
    }
}

fn tell(socket: &Socket, what: &str, who: &Value) {
    socket.broadcast(what, who).unwrap();
}

fn ping(number: u64) -> Value {
    json!({ "op": 0, "d": { "n": number }, "t": "PING" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_portal_is_told_everything_in_its_order() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let mut early = node.client().await;
    early.send(&ping(0)).await;
    early.silent().await.unwrap();
    let mut portal = Portal::start(&redis, json!({ "namespace": "api" })).await;
    until("the node knows it", async || node.is_taken()).await;
    let mut peer = node.client().await;
    peer.send(&ping(1)).await;
    peer.send(&json!({ "op": 2, "d": { "token": "7" } })).await;
    peer.send(&json!({ "op": 7, "d": [1e300] })).await;
    for number in 2..200 {
        peer.send(&ping(number)).await;
    }
    assert_eq!(portal.next().await, json!(["connection", null]), "nothing of the time before it came");
    assert_eq!(portal.next().await, json!(["message", null, 0, { "n": 1 }, "PING"]));
    assert_eq!(portal.next().await, json!(["authentication", "7"]));
    assert_eq!(portal.next().await, json!(["message", "7", 7, [1e300], null]));
    for number in 2..200 {
        assert_eq!(portal.next().await, json!(["message", "7", 0, { "n": number }, "PING"]));
    }
    peer.send_close(1000).await;
    assert_eq!(portal.next().await, json!(["disconnection", "7"]));
}

/// Waits until a client hears from the node that a portal came, or went.
async fn hears(watcher: &mut Peer, what: &str, portal: &str) {
    let data = json!({ "portal": portal, "group": null, "project": "default" });
    assert_eq!(watcher.next().await, json!({ "op": 0, "d": data, "t": what }));
}

async fn say(peer: &mut Peer, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        peer.send(&ping(number)).await;
    }
}

/// Two portals that a node and one of its clients know of, the first of them first.
async fn two_portals(redis: &RedisServer, node: &Node) -> (Peer, Portal, Portal) {
    let mut peer = node.client().await;
    let first = Portal::start(redis, json!({ "namespace": "api" })).await;
    hears(&mut peer, "in", &first.id).await;
    let second = Portal::start(redis, json!({ "namespace": "api" })).await;
    hears(&mut peer, "in", &second.id).await;
    (peer, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn portals_take_turns_and_one_may_want_everything() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let (mut peer, mut first, mut second) = two_portals(&redis, &node).await;
    say(&mut peer, 1..=4).await;
    for number in [1, 3] {
        assert_eq!(second.said().await, number);
        assert_eq!(first.said().await, number + 1);
    }
    // One of another namespace is nobody here.
    let _other = Portal::start(&redis, json!({})).await;
    let mut all = Portal::start(&redis, json!({ "namespace": "api", "reportAllEvents": true })).await;
    hears(&mut peer, "in", &all.id).await;
    say(&mut peer, 5..=10).await;
    for number in 5..=10 {
        assert_eq!(all.said().await, number);
    }
    for number in [5, 8] {
        assert_eq!(second.said().await, number);
        assert_eq!(first.said().await, number + 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn without_turns_portals_are_drawn() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, false).await;
    let (mut peer, mut first, mut second) = two_portals(&redis, &node).await;
    say(&mut peer, 1..=200).await;
    let (mut to_first, mut to_second) = (Vec::new(), Vec::new());
    while to_first.len() + to_second.len() < 200 {
        tokio::select! {
            said = first.said() => to_first.push(said.as_u64().unwrap()),
            said = second.said() => to_second.push(said.as_u64().unwrap()),
        }
    }
    assert!(to_first.is_sorted() && to_second.is_sorted());
    let strictly = |list: &[u64]| list.windows(2).all(|pair| pair[1] == pair[0] + 2);
    assert!(!strictly(&to_first) && !to_first.is_empty() && !to_second.is_empty(), "{to_first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn portals_leave_and_die_and_others_come() {
    let redis = RedisServer::start().await;
    let node = Node::start(&redis, true).await;
    let (mut peer, first, mut second) = two_portals(&redis, &node).await;
    let left = first.id.clone();
    first.stop().await;
    hears(&mut peer, "out", &left).await;
    say(&mut peer, 1..=3).await;
    for number in 1..=3 {
        assert_eq!(second.said().await, number);
    }
    let dead = second.id.clone();
    second.kill().await;
    say(&mut peer, 4..=5).await;
    hears(&mut peer, "out", &dead).await;
    let key = "available_portals_pool_api";
    assert_eq!(query::<Vec<String>>(&redis, redis::cmd("SMEMBERS").arg(key)).await, [dead]);
    assert!(!node.is_taken(), "whom nobody hears is not asked, though it stands in the set");
    let before = looks(&redis).await;
    let mut third = Portal::start(&redis, json!({ "namespace": "api" })).await;
    hears(&mut peer, "in", &third.id).await;
    until("the set is looked at again", async || looks(&redis).await > before).await;
    say(&mut peer, 6..=8).await;
    for number in 6..=8 {
        assert_eq!(third.said().await, number, "who is dead gets no turn, though it stands in the set");
    }
}

/// How often somebody has looked into a set.
async fn looks(server: &RedisServer) -> u64 {
    let info = server.ask_text("INFO commandstats").await;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_smembers:calls="));
    calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs npm packages; ./test installs them"]
async fn a_node_finds_the_portals_that_were_there_first() {
    let redis = RedisServer::start().await;
    let mut portal = Portal::start(&redis, json!({ "namespace": "api" })).await;
    let node = Node::start(&redis, true).await;
    let mut peer = node.client().await;
    say(&mut peer, 1..=1).await;
    assert_eq!(portal.next().await, json!(["connection", null]));
    assert_eq!(portal.said().await, 1);
}
