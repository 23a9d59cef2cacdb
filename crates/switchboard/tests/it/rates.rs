//! Rate rules: counted events, shared budgets, and refusals beyond them, on every protocol.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::backplane::{LocalBus, MemoryRateStore};
use switchboard::rates::{RateAction, RateKey, RateRule};
use switchboard::{App, Data, Identity, Koji, Limits, Mesa, Reply, Socket, UserId};
use switchboard_testkit::{Peer, RawPeer, TestServer, until};

use crate::rights::join_as_client;

/// A rule of which nothing comes back during a test.
fn rule(events: &[&str], per: RateKey, burst: u32) -> RateRule {
    RateRule::new(events.iter().copied(), per, "1/d").unwrap().with_burst(burst).unwrap()
}

async fn echo(Data(data): Data<Value>) -> Reply<Value> {
    Reply(data)
}

async fn log_in(socket: Socket, Data(user): Data<String>) -> Reply<bool> {
    Reply(socket.login(&user).unwrap())
}

async fn verify(token: String) -> Result<Identity, switchboard::NameError> {
    UserId::new(&token).map(Identity::new)
}

fn app(rules: impl IntoIterator<Item = RateRule>) -> App {
    App::new()
        .on("/echo", echo)
        .on("/other", echo)
        .on("/log-in", log_in)
        .on("/join", join_as_client)
        .with_verifier(verify)
        .with_rate_rules(rules)
}

fn assert_limited(reply: &Value) {
    assert_eq!(reply["code"], "rate_limited", "{reply}");
    let ms = reply["retry_after_ms"].as_u64().expect("a number");
    assert!((1..=86_400_000).contains(&ms), "{reply}");
}

#[tokio::test]
async fn a_request_over_the_rate_is_refused_with_the_time_to_wait_and_other_events_are_not() {
    let server = TestServer::start(app([rule(&["/echo"], RateKey::Socket, 2)])).await;
    let (mut peer, mut other) = (server.peer().await, server.peer().await);
    for _ in 0..2 {
        assert_eq!(peer.request("/echo", json!(1)).await, 1);
    }
    for _ in 0..2 {
        assert_limited(&peer.request("/echo", json!(1)).await);
    }
    assert_eq!(peer.request("/other", json!(1)).await, 1);
    assert_eq!(other.request("/echo", json!(1)).await, 1, "each socket has a budget of its own");
}

#[tokio::test]
async fn a_budget_comes_back_at_its_rate() {
    let rule = RateRule::new(["/echo"], RateKey::Socket, "5/s").unwrap().with_burst(1).unwrap();
    let server = TestServer::start(app([rule])).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/echo", json!(1)).await, 1);
    until("one more is allowed", async || peer.request("/echo", json!(1)).await == 1).await;
}

#[tokio::test]
async fn an_event_without_a_reply_is_dropped_and_only_clients_that_understand_it_are_told() {
    let server = TestServer::start(app([rule(&["/e*"], RateKey::Socket, 1)])).await;
    let mut original = server.peer().await;
    let mut ours = Peer::connect(&server.url("/?sb=1")).await;
    for peer in [&mut original, &mut ours] {
        peer.request("/echo", json!(1)).await;
        peer.emit("/echo", json!(2)).await;
    }
    original.quiet().await;
    let (event, data) = ours.next_event().await;
    assert_eq!((event.as_str(), &data["event"]), ("@refused", &json!("/echo")));
    assert_limited(&data);
}

#[tokio::test]
async fn a_rule_ignores_or_closes_if_it_says_so() {
    let ignored = rule(&["/echo"], RateKey::Socket, 1).with_action(RateAction::Ignore);
    let closed = rule(&["/other"], RateKey::Socket, 1).with_action(RateAction::Close);
    let server = TestServer::start(app([ignored, closed])).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    assert_eq!(peer.request("/echo", json!(1)).await, 1);
    peer.send(&json!({ "event": "/echo", "data": 2, "ackId": "2" })).await;
    peer.quiet().await;
    assert_eq!(peer.request("/other", json!(1)).await, 1);
    peer.emit("/other", json!(1)).await;
    let (code, reason) = peer.closed().await;
    assert_eq!((code, reason.as_str()), (1008, "over the rate of 1/d in rule 2"));
}

#[tokio::test]
async fn an_event_that_one_rule_refuses_takes_nothing_from_the_others() {
    let rules = [rule(&["*"], RateKey::Project, 3), rule(&["/echo"], RateKey::Socket, 1)];
    let server = TestServer::start(app(rules)).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/echo", json!(1)).await, 1);
    for _ in 0..5 {
        assert_limited(&peer.request("/echo", json!(1)).await);
    }
    for _ in 0..2 {
        assert_eq!(peer.request("/other", json!(1)).await, 1);
    }
    assert_limited(&peer.request("/other", json!(1)).await);
}

#[tokio::test]
async fn sockets_of_a_user_an_address_and_a_project_share_a_budget() {
    let rules = [
        rule(&["/echo"], RateKey::User, 2),
        rule(&["/other"], RateKey::Address, 2),
        rule(&["/log-in"], RateKey::Project, 3),
    ];
    let server = TestServer::start(app(rules)).await;
    let (mut one, mut two, mut three) = (server.peer().await, server.peer().await, server.peer().await);
    for (peer, user) in [(&mut one, "ann"), (&mut two, "ann"), (&mut three, "bob")] {
        assert_eq!(peer.request("/log-in", json!(user)).await, true);
    }
    assert_limited(&one.request("/log-in", json!("ann")).await);
    for peer in [&mut one, &mut two] {
        assert_eq!(peer.request("/echo", json!(1)).await, 1);
    }
    assert_limited(&one.request("/echo", json!(1)).await);
    assert_eq!(three.request("/echo", json!(1)).await, 1, "another user");
    assert_eq!(one.request("/other", json!(1)).await, 1);
    assert_eq!(three.request("/other", json!(1)).await, 1);
    assert_limited(&two.request("/other", json!(1)).await);
}

#[tokio::test]
async fn joins_logins_requests_and_frames_count_under_names_of_their_own() {
    let rules = [
        rule(&["@join"], RateKey::Socket, 1),
        rule(&["@login"], RateKey::Socket, 1),
        rule(&["@request"], RateKey::Socket, 5),
        rule(&["@frame"], RateKey::Socket, 8),
    ];
    let server = TestServer::start(app(rules)).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/join", json!("#a")).await, true);
    assert_limited(&peer.request("/join", json!("#b")).await);
    assert_eq!(peer.request("@identify", json!({ "token": "ann" })).await, json!({ "user": "ann" }));
    assert_limited(&peer.request("@identify", json!({ "token": "ann" })).await);
    for _ in 0..3 {
        assert_eq!(peer.request("/echo", json!(1)).await, 1);
    }
    assert_limited(&peer.request("/echo", json!(1)).await);
    peer.emit("/echo", json!("the ninth frame")).await;
    assert_eq!(peer.closed().await.0, 1008);
}

#[tokio::test]
async fn koji_events_user_infos_and_placements_are_limited_and_originals_see_nothing_new() {
    let rules = [
        rule(&["chat_*"], RateKey::Socket, 1),
        rule(&["@user-info"], RateKey::Socket, 1),
        rule(&["@placement"], RateKey::Project, 3),
    ];
    let server = TestServer::start(app(rules).with_koji(Koji::new())).await;
    let connect = async |query: &str| {
        Peer::connect(&server.url(&format!("/?projectId=default&shardName=own{query}"))).await
    };
    let (mut ours, mut original) = (connect("&sb=1").await, connect("").await);
    let mut receiver = connect("").await;
    for (peer, name) in [(&mut ours, "ours"), (&mut original, "original")] {
        for number in 1..=2 {
            let user_info = json!({ "name": format!("{name} {number}") });
            peer.send(&json!({ "eventName": "@@KOJI_DISPATCH/SET_USER_INFO", "payload": user_info })).await;
            let payload = json!({ "from": name, "number": number });
            peer.send(&json!({ "eventName": "chat_line", "payload": payload })).await;
        }
    }
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let frame = ours.next().await;
        if frame["eventName"] == "@@SWITCHBOARD/refused" {
            assert_limited(&frame["payload"]);
            refused.push(frame["payload"]["eventName"].clone());
        }
    }
    assert_eq!(refused, ["SET_USER_INFO", "chat_line"]);
    let mut lines = Vec::new();
    while lines.len() < 2 {
        let frame = receiver.next().await;
        if frame["eventName"] == "chat_line" {
            assert_eq!(frame["payload"]["number"], 1, "{frame}");
            lines.push(frame["payload"]["from"].clone());
        }
    }
    let (code, reason) = connect("").await.closed().await;
    assert_eq!((code, reason.starts_with("rate_limited: ")), (1013, true), "{reason}");
}

#[tokio::test]
async fn mesa_messages_over_the_rate_are_dropped_without_an_answer() {
    let mesa = Mesa::new().on("PING", async |socket: Socket| socket.emit("PONG", &1).unwrap());
    let app = app([rule(&["PING"], RateKey::Socket, 1)]).with_mesa(mesa);
    let server = TestServer::start(app).await;
    let mut peer = Peer::connect(&server.url("/mesa")).await;
    assert_eq!(peer.next().await["op"], 10, "the greeting");
    for _ in 0..3 {
        peer.send(&json!({ "op": 0, "t": "PING", "d": {} })).await;
    }
    assert_eq!(peer.next().await["t"], "PONG");
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn http_requests_of_an_address_are_limited_with_429_and_the_time_to_wait() {
    let server = TestServer::start(app([rule(&["@http"], RateKey::Address, 1)]).with_koji(Koji::new())).await;
    let get = async || {
        let mut peer = RawPeer::connect(server.address).await;
        peer.send(b"GET /info/p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        String::from_utf8(peer.read_to_end().await).unwrap()
    };
    assert!(get().await.starts_with("HTTP/1.1 200"));
    let refused = get().await.to_lowercase();
    assert!(refused.starts_with("http/1.1 429") && refused.contains("\r\nretry-after: 86"), "{refused}");
}

#[tokio::test]
async fn replaced_rules_apply_at_once_and_rules_that_stay_keep_their_counts() {
    let stays = || rule(&["/echo"], RateKey::User, 1);
    let server = TestServer::start(app([stays()])).await;
    let mut peer = server.peer().await;
    peer.request("/log-in", json!("ann")).await;
    assert_eq!(peer.request("/echo", json!(1)).await, 1);
    let set = |rules: Vec<RateRule>| {
        let mut limits = Limits::default();
        limits.rules = rules;
        server.app.set_limits(limits);
    };
    set(vec![rule(&["/other"], RateKey::Socket, 1), stays()]);
    assert_limited(&peer.request("/echo", json!(1)).await);
    assert_eq!(peer.request("/other", json!(1)).await, 1);
    assert_limited(&peer.request("/other", json!(1)).await);
    set(Vec::new());
    for event in ["/echo", "/other"] {
        assert_eq!(peer.request(event, json!(1)).await, 1);
    }
}

#[tokio::test]
async fn a_user_on_two_nodes_has_one_budget_and_at_most_one_burst_more() {
    let store = Arc::new(MemoryRateStore::default());
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        let app = app([rule(&["/echo"], RateKey::User, 10)]);
        nodes.push(TestServer::start(app.with_bus(Arc::new(bus)).with_rate_store(store.clone())).await);
    }
    let (mut one, mut two) = (nodes[0].peer().await, nodes[1].peer().await);
    for peer in [&mut one, &mut two] {
        peer.request("/log-in", json!("ann")).await;
    }
    let mut allowed = 0;
    for _ in 0..10 {
        allowed += usize::from(one.request("/echo", json!(1)).await == 1);
    }
    assert_eq!(allowed, 10);
    // The other node counts alone until it has told the first one, and then refuses.
    until("the other node knows", async || {
        let is_allowed = two.request("/echo", json!(1)).await == 1;
        allowed += usize::from(is_allowed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        !is_allowed
    })
    .await;
    assert!((11..=20).contains(&allowed), "{allowed}");
    assert_limited(&one.request("/echo", json!(1)).await);
}
