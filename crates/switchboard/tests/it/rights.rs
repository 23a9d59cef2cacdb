//! The table of access control, cell by cell: each operation on each protocol, with each set of rights, given by a
//! token or by the rule, on one node and to another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::access::{AccessRequest, Resource, Right, Rights};
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::{App, Data, Identity, IntoAudience, Koji, Mesa, ReplyError, Socket, State, Target, UserId};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Peer, TestServer};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Patterns and their letters.
type Can = BTreeMap<String, String>;

fn can(patterns: &[(&str, &str)]) -> Can {
    patterns.iter().map(|(pattern, letters)| (pattern.to_string(), letters.to_string())).collect()
}

fn compile(can: &Can) -> Rights {
    Rights::new(can.iter().map(|(pattern, letters)| (pattern.as_str(), letters.as_str()))).unwrap()
}

/// A token of the tests: its claim as JSON. The user is `me`.
async fn verify(token: String) -> Result<Identity, String> {
    let can: Can = serde_json::from_str(&token).map_err(|error| error.to_string())?;
    Ok(Identity { rights: Some(Arc::new(compile(&can))), ..Identity::new(UserId::new("me").unwrap()) })
}

/// Where the outcome of an operation of a handler goes: protocols other than emit have no replies.
type Outcomes = Sender<Result<(), String>>;

async fn attempt(
    socket: Socket,
    State(outcomes): State<Outcomes>,
    Data((operation, on)): Data<(String, String)>,
) {
    let outcome = match operation.as_str() {
        "join" => socket.join_as_client(&on).map(drop).map_err(ReplyError::from),
        "tag" => socket.tag_as_client(&on).map(drop).map_err(ReplyError::from),
        "query" => socket.require(Right::Presence, on.as_str()).map_err(ReplyError::from),
        "history" => socket.require(Right::History, on.as_str()).map_err(ReplyError::from),
        "send" => socket.to(target(&on)).as_client().emit("sent", &1).map(drop).map_err(ReplyError::from),
        "store" => {
            socket.to(target(&on)).as_client().dispatch("sent", &1).await.map(drop).map_err(ReplyError::from)
        }
        other => panic!("no operation {other}"),
    };
    outcomes.try_send(outcome.map_err(|error| error.code().to_owned())).unwrap();
}

/// The target of a pattern's text.
fn target(text: &str) -> Target {
    match text.split_once(':') {
        Some(("user", id)) => Target::user(id).unwrap(),
        Some(("tag", name)) => Target::tag(name).unwrap(),
        Some(("socket", id)) => Target::Socket(id.parse().unwrap()),
        _ if text == "@everyone" => Target::Everyone,
        _ => text.into_audience().unwrap().to[0].clone(),
    }
}

/// One or two nodes, all in the project `default`. Clients whose rights are tested connect to the first, and a watcher
/// to the last.
struct Nodes {
    nodes: Vec<TestServer>,
    outcomes: Receiver<Result<(), String>>,
    watcher: Peer,
    watcher_id: String,
}

impl Nodes {
    async fn start(count: usize, rule: Can) -> Self {
        let (sender, outcomes) = channel(1);
        let rule = Arc::new(compile(&rule));
        let mut nodes = Vec::new();
        for bus in LocalBus::connected(count) {
            let rule = rule.clone();
            let app = App::new()
                .on("/try", attempt)
                .with_koji(Koji::new().on("/try", attempt))
                .with_mesa(Mesa::new().on("/try", attempt))
                .with_state::<Outcomes>(sender.clone())
                .with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default())))
                .with_bus(Arc::new(bus))
                .with_verifier(verify)
                .with_access_rule(move |request: &AccessRequest<'_>| {
                    rule.allow(request.right(), request.resource())
                });
            nodes.push(TestServer::start(app).await);
        }
        let last = &nodes[count - 1];
        let mut watcher = last.peer().await;
        watcher.quiet().await;
        let id = last.app.all_socket_ids().await.unwrap()[0];
        let socket = last.app.socket(id).unwrap();
        socket.join("#r").unwrap();
        socket.tag("t").unwrap();
        socket.login("u").unwrap();
        last.app.settled().await;
        Nodes { nodes, outcomes, watcher, watcher_id: id.to_string() }
    }

    fn first(&self) -> &TestServer {
        &self.nodes[0]
    }

    /// Returns true if the watcher has received the event before the next marker.
    async fn watcher_received(&mut self) -> bool {
        let id: switchboard::SocketId = self.watcher_id.parse().unwrap();
        self.first().app.emit_to(id, "marker", &0).unwrap();
        let mut received = false;
        loop {
            match self.watcher.next_event().await.0.as_str() {
                "marker" => return received,
                "sent" => received = true,
                other => panic!("unexpected event {other}"),
            }
        }
    }
}

/// How a client of a protocol connects and raises an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Protocol {
    Emit,
    Koji,
    Mesa,
}

impl Protocol {
    async fn connect(self, server: &TestServer, token: &Can) -> Peer {
        let token = serde_json::to_string(token).unwrap();
        let encoded: String = form_encoded(&token);
        match self {
            Protocol::Emit => Peer::connect(&server.url(&format!("/?token={encoded}"))).await,
            Protocol::Koji => {
                let address = format!("/?projectId=default&shardName=own&authorization={encoded}");
                let mut peer = Peer::connect(&server.url(&address)).await;
                assert_eq!(peer.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
                peer
            }
            Protocol::Mesa => {
                let mut peer = Peer::connect(&server.url("/mesa")).await;
                assert_eq!(peer.next().await["op"], 10);
                peer.send(&json!({ "op": 2, "d": { "token": token } })).await;
                assert_eq!(peer.next().await["op"], 22);
                peer
            }
        }
    }

    fn event(self, data: Value) -> Value {
        match self {
            Protocol::Emit => json!({ "event": "/try", "data": data }),
            Protocol::Koji => json!({ "eventName": "/try", "payload": data }),
            Protocol::Mesa => json!({ "op": 0, "t": "/try", "d": data }),
        }
    }
}

fn form_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The 16 sets of letters.
fn letter_sets() -> Vec<String> {
    let letters =
        |set: u8| "jshp".chars().enumerate().filter(|(at, _)| set & (1 << at) != 0).map(|(_, l)| l).collect();
    (0..16).map(letters).collect()
}

/// The operations of handlers: label, the letter that is needed, and resources as texts.
const OF_HANDLERS: [(&str, char, &[&str]); 6] = [
    ("join", 'j', &["#r"]),
    ("tag", 'j', &["*t"]),
    ("query", 'p', &["#r", "*t"]),
    ("history", 'h', &["#r"]),
    ("send", 's', &["#r", "user:u", "tag:t", "socket:WATCHER", "@everyone"]),
    ("store", 's', &["user:u"]),
];

/// The cells of the generated table.
fn documented_cells() -> BTreeSet<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/rights.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| operation |"));
    let cells = rows.filter(|row| !row.contains("---")).flat_map(|row| {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let label = columns.last().unwrap().trim_matches(['`', ' ', '|']).to_owned();
        columns[1].split(", ").map(|protocol| (label.clone(), protocol.to_owned())).collect::<Vec<_>>()
    });
    cells.filter(|(label, _)| label != "label").collect()
}

#[tokio::test]
async fn an_operation_of_a_handler_succeeds_exactly_with_its_right_on_each_protocol_and_over_nodes() {
    for (nodes, by_rule) in [(1, false), (1, true), (2, false), (2, true)] {
        for letters in letter_sets() {
            let patterns =
                ["#r", "tag:t", "user:u", "socket:*", "@everyone"].map(|on| (on, letters.as_str()));
            let mut given = can(&patterns);
            // A Koji client needs a shard.
            given.insert("shard:own".into(), "j".into());
            let (rule, claim) = if by_rule { (given, Can::new()) } else { (Can::new(), given) };
            let mut nodes = Nodes::start(nodes, rule).await;
            for protocol in [Protocol::Emit, Protocol::Koji, Protocol::Mesa] {
                let mut client = protocol.connect(nodes.first(), &claim).await;
                for (operation, letter, resources) in OF_HANDLERS {
                    for on in resources {
                        let on = on.replace("WATCHER", &nodes.watcher_id);
                        client.send(&protocol.event(json!([operation, on]))).await;
                        let outcome = nodes.outcomes.recv().await.unwrap();
                        let expected =
                            if letters.contains(letter) { Ok(()) } else { Err("forbidden".to_owned()) };
                        let cell =
                            format!("{operation} on {on}, {protocol:?}, letters {letters:?}, {by_rule}");
                        assert_eq!(outcome, expected, "{cell}");
                        let is_sent = letter == 's' && letters.contains('s');
                        // The inbox of a node delivers on that node only.
                        let is_delivered = is_sent && (operation != "store" || nodes.nodes.len() == 1);
                        assert_eq!(nodes.watcher_received().await, is_delivered, "{cell}");
                    }
                }
            }
        }
    }
}

async fn seat(server: &TestServer, query: &str, claim: &Can) -> Result<Peer, u16> {
    let token = form_encoded(&serde_json::to_string(claim).unwrap());
    let mut peer =
        Peer::connect(&server.url(&format!("/?projectId=default&sb=1{query}&authorization={token}"))).await;
    let frame = peer.next_or_close().await?;
    assert_eq!(frame["eventName"], "@@KOJI_DISPATCH/CONNECTED", "{frame}");
    peer.answer_ping().await;
    Ok(peer)
}

/// The next frame of a name; others are skipped.
async fn next_named(peer: &mut Peer, name: &str) -> Value {
    loop {
        let mut frame = peer.next().await;
        if frame["eventName"] == name {
            return frame["payload"].take();
        }
    }
}

#[tokio::test]
async fn a_koji_client_connects_and_sends_exactly_with_its_rights() {
    for (nodes, by_rule) in [(1, false), (1, true), (2, false), (2, true)] {
        for letters in letter_sets() {
            let patterns = ["shard:own", "shard:shard-*", "user:u"].map(|on| (on, letters.as_str()));
            let (rule, claim) = match by_rule {
                true => (can(&patterns), Can::new()),
                false => (Can::new(), can(&patterns)),
            };
            let mut nodes = Nodes::start(nodes, rule).await;
            let server = nodes.first();
            for query in ["&shardName=own", ""] {
                let seated = seat(server, query, &claim).await;
                let expected = if letters.contains('j') { None } else { Some(1008) };
                assert_eq!(seated.err(), expected, "seat {query:?}, {letters:?}, {by_rule}");
            }
            assert_eq!(seat(server, "&shardName=other", &claim).await.err(), Some(1008), "{letters:?}");
            if !letters.contains('j') {
                continue;
            }
            let mut client = seat(server, "&shardName=own", &claim).await.unwrap();
            let sends = letters.contains('s');
            let frame =
                |recipients: Value| json!({ "eventName": "sent", "payload": {}, "recipients": recipients });
            // To the shard: it returns to its sender.
            client.send(&json!({ "eventName": "sent", "payload": {} })).await;
            let name = if sends { "sent" } else { "@@SWITCHBOARD/refused" };
            let answer = next_named(&mut client, name).await;
            assert!(sends || answer["error"].as_str().unwrap().contains("shard:own"), "{answer}");
            // To a user, to a client, and to a user and somebody whom no pattern names.
            client.send(&frame(json!(["u"]))).await;
            assert!(sends || next_named(&mut client, "@@SWITCHBOARD/refused").await["code"] == "forbidden");
            client.send(&json!({ "eventName": "/done", "payload": {} })).await;
            next_named(&mut client, if sends { "/done" } else { "@@SWITCHBOARD/refused" }).await;
            assert_eq!(nodes.watcher_received().await, sends, "relay to a user, {letters:?}, {by_rule}");
            client.send(&frame(json!([nodes.watcher_id]))).await;
            client.send(&json!({ "eventName": "/done", "payload": {} })).await;
            next_named(&mut client, if sends { "/done" } else { "@@SWITCHBOARD/refused" }).await;
            assert_eq!(nodes.watcher_received().await, sends, "relay to a client, {letters:?}, {by_rule}");
            client.send(&frame(json!(["u", "stranger"]))).await;
            let refusal = next_named(&mut client, "@@SWITCHBOARD/refused").await;
            assert_eq!(refusal["code"], "forbidden");
            assert!(!nodes.watcher_received().await, "a message with a forbidden recipient reaches nobody");
        }
    }
}

#[tokio::test]
async fn a_koji_client_sees_lists_and_sets_its_info_exactly_with_its_rights() {
    for letters in letter_sets().into_iter().filter(|letters| letters.contains('j')) {
        let nodes = Nodes::start(1, can(&[("shard:listed", "p")])).await;
        let server = nodes.first();
        let all = can(&[("shard:*", "jsp")]);
        let mut friend = seat(server, "&shardName=own", &all).await.unwrap();
        let mut client = seat(server, "&shardName=own", &can(&[("shard:own", &letters)])).await.unwrap();
        let changed = "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED";
        let list = |payload: Value| payload["connectedClients"].as_object().unwrap().clone();
        while list(next_named(&mut friend, changed).await).len() < 2 {}
        client
            .send(&json!({ "eventName": "@@KOJI_DISPATCH/SET_USER_INFO", "payload": { "name": "Ann" } }))
            .await;
        client.send(&json!({ "eventName": "@@KOJI_DISPATCH/GET_CONNECTED_CLIENTS" })).await;
        let mut refused = BTreeSet::new();
        for (letter, name) in [('s', "SET_USER_INFO"), ('p', "GET_CONNECTED_CLIENTS")] {
            if !letters.contains(letter) {
                refused.insert(name.to_owned());
            }
        }
        for _ in 0..refused.len() {
            let refusal = next_named(&mut client, "@@SWITCHBOARD/refused").await;
            assert!(refused.remove(refusal["eventName"].as_str().unwrap()), "{letters}: {refusal}");
        }
        if letters.contains('s') {
            let has_name =
                |list: &serde_json::Map<String, Value>| list.values().any(|c| c["userInfo"]["name"] == "Ann");
            while !has_name(&list(next_named(&mut friend, changed).await)) {}
        }
        if letters.contains('p') {
            assert_eq!(list(next_named(&mut client, changed).await).len(), 2);
        } else {
            client.silent().await.expect("no list is sent without the right");
        }
    }
}

#[tokio::test]
async fn shards_are_listed_exactly_if_the_rule_gives_presence() {
    for letters in letter_sets() {
        let nodes = Nodes::start(1, can(&[("shard:own", &letters)])).await;
        let all = can(&[("shard:*", "jshp")]);
        let _one = seat(nodes.first(), "&shardName=own", &all).await.unwrap();
        let _other = seat(nodes.first(), "&shardName=hidden", &all).await.unwrap();
        let body = crate::koji::get(nodes.first(), "/info/default").await.1;
        let shards: Vec<Value> = serde_json::from_str(&body).unwrap();
        let names: Vec<&str> = shards.iter().map(|shard| shard["shardName"].as_str().unwrap()).collect();
        assert_eq!(names, if letters.contains('p') { vec!["own"] } else { vec![] }, "{letters:?}");
    }
}

#[test]
fn every_documented_cell_is_tested() {
    let protocols = ["emit", "koji", "mesa"].map(String::from);
    let of_handlers =
        OF_HANDLERS.iter().flat_map(|(label, ..)| protocols.clone().map(|p| (label.to_string(), p)));
    let of_koji = ["seat", "automatic_seat", "relay", "user_info", "member_list", "list_shards"];
    let of_koji = of_koji.into_iter().map(|label| (label.to_owned(), "koji".to_owned()));
    assert_eq!(documented_cells(), of_handlers.chain(of_koji).collect());
}

#[tokio::test]
async fn an_id_that_is_a_client_and_a_user_is_reached_in_the_reading_that_is_allowed() {
    let mut nodes = Nodes::start(2, Can::new()).await;
    let claim = can(&[("shard:own", "j"), ("user:*", "s")]);
    let mut client = seat(nodes.first(), "&shardName=own", &claim).await.unwrap();
    client.send(&json!({ "eventName": "sent", "payload": {}, "recipients": [nodes.watcher_id] })).await;
    client.silent().await.expect("the event is not refused");
    assert!(!nodes.watcher_received().await, "only users may be reached");
    let claim = can(&[("shard:own", "j"), ("socket:*", "s")]);
    let mut client = seat(nodes.first(), "&shardName=own", &claim).await.unwrap();
    client.send(&json!({ "eventName": "sent", "payload": {}, "recipients": [nodes.watcher_id] })).await;
    client.silent().await.expect("the event is not refused");
    assert!(nodes.watcher_received().await);
}

#[tokio::test]
async fn a_client_that_overflows_to_an_automatic_shard_needs_the_right_on_it() {
    let rules =
        switchboard::protocols::ProjectRules { named_overflow: true, capacity_max: 1, ..Default::default() };
    let app = App::new().with_koji(Koji::new().with_rules(rules)).with_verifier(verify);
    let server = TestServer::start(app.with_access_rule(|_: &AccessRequest<'_>| false)).await;
    let _first = seat(&server, "&shardName=own", &can(&[("shard:own", "j")])).await.unwrap();
    assert_eq!(seat(&server, "&shardName=own", &can(&[("shard:own", "j")])).await.err(), Some(1008));
    assert!(
        seat(&server, "&shardName=own", &can(&[("shard:own", "j"), ("shard:shard-*", "j")])).await.is_ok()
    );
}

#[tokio::test]
async fn everything_is_allowed_without_a_rule_and_a_claim() {
    let server = TestServer::start(App::new().with_koji(Koji::new()).on("/may", async |socket: Socket| {
        switchboard::Reply(Right::ALL.into_iter().all(|right| socket.may(right, Resource::Everyone)))
    }))
    .await;
    assert_eq!(server.peer().await.request("/may", json!({})).await, true);
    let mut koji = KojiPeer::join(&server, "projectId=default&shardName=own").await;
    koji.list_of(1).await;
    koji.emit("hi", json!({})).await;
    assert_eq!(koji.next_event().await.0, "hi");
}

#[tokio::test]
async fn a_rule_that_panics_refuses() {
    let app = App::new().on("/join", crate::rights::join_as_client);
    let server = TestServer::start(app.with_access_rule(|_: &AccessRequest<'_>| panic!("on purpose"))).await;
    let mut peer = server.peer().await;
    for _ in 0..2 {
        assert_eq!(peer.request("/join", json!("#r")).await["code"], "forbidden");
    }
}

pub(crate) async fn join_as_client(
    socket: Socket,
    Data(room): Data<String>,
) -> Result<switchboard::Reply<bool>, ReplyError> {
    Ok(switchboard::Reply(socket.join_as_client(&room)?))
}
