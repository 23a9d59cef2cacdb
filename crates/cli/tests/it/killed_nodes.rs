//! Nodes that are killed, or that drain, while clients can resume their sessions: real processes and a real Redis.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, until};

use crate::backend::{KEY, api, post};
use crate::clients::request;
use crate::hooks::{backend, endpoint};
use crate::support::Server;

/// A client that has a session.
struct Client {
    peer: Peer,
    ticket: String,
    socket: String,
}

/// Connects, perhaps with a ticket. Returns the data of `@session`.
async fn connect(server: &Server, ticket: Option<&str>) -> (Peer, Value) {
    let protocols = format!("switchboard, ticket.{}", ticket.unwrap_or_default());
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let headers = if ticket.is_some() { &headers[..] } else { &[] };
    let url = format!("{}/?sb=1", server.url());
    let mut peer = Peer::try_connect(&url, headers).await.expect("the handshake succeeds");
    let (event, session) = peer.next_event().await;
    assert_eq!(event, "@session");
    (peer, session)
}

/// Connects clients, each of which joins the room.
async fn clients(server: &Server, count: usize) -> Vec<Client> {
    let client = async |_| {
        let (mut peer, session) = connect(server, None).await;
        request(&mut peer, "/join", json!({ "room": "#chat" })).await;
        let ticket = session["ticket"].as_str().expect("a ticket").to_owned();
        let socket = request(&mut peer, "/whoami", json!({})).await["id"].as_str().expect("an id").to_owned();
        Client { peer, ticket, socket }
    };
    join_all((0..count).map(client)).await
}

/// Resumes the sessions of clients. Returns their new connections.
async fn resume(server: &Server, clients: impl IntoIterator<Item = &Client>) -> Vec<Peer> {
    let resume = async |client: &Client| {
        let (peer, session) = connect(server, Some(&client.ticket)).await;
        assert_eq!(session["resumed"], true, "{session}");
        peer
    };
    join_all(clients.into_iter().map(resume)).await
}

/// The sockets in the room, on all nodes.
async fn in_room(peer: &mut Peer) -> Value {
    request(peer, "/stats", json!({ "room": "#chat" })).await["roomSize"].take()
}

fn drain(address: &str, body: &Value) {
    let key = format!("Bearer {KEY}");
    let answer = post(address, "drain", &[("Authorization", &key)], &body.to_string()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_clients_of_a_killed_node_those_that_do_not_resume_are_reported_as_disconnected_once() {
    const CLIENTS: usize = 100;
    let redis = RedisServer::start().await;
    let (url, calls) = backend("200 OK");
    let events = r#""resumed","disconnected","joined","left""#;
    let settings = [
        format!("redis={}", redis.url()),
        endpoint(&url, events),
        "resume.seconds=4".to_owned(),
        "node.lease_ms=1000".to_owned(),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let ((killed, _), (living, _)) = (api(&settings), api(&settings));
    let clients = clients(&killed, CLIENTS).await;
    let (mut bystander, _) = connect(&living, None).await;
    until("all have joined", async || in_room(&mut bystander).await == CLIENTS).await;
    killed.signal("-KILL");
    let _resumed = resume(&living, &clients[..CLIENTS / 2]).await;
    until("those that are away keep their places", async || in_room(&mut bystander).await == CLIENTS).await;
    let (mut resumed, mut disconnected, mut room) = (BTreeSet::new(), BTreeSet::new(), 0_i64);
    let half = i64::try_from(CLIENTS / 2).expect("a small number");
    // Joins and leaves are balanced.
    while disconnected.len() < CLIENTS / 2 || resumed.len() < CLIENTS / 2 || room != half {
        let (_, body) = calls.recv().expect("the backend runs");
        for report in body["reports"].as_array().expect("a list") {
            let field = |name: &str| report[name].as_str().expect("an id").to_owned();
            match report["type"].as_str().expect("a kind") {
                "resumed" => assert!(resumed.insert(field("previous")), "{report}"),
                "disconnected" => assert!(disconnected.insert(field("socket")), "{report}"),
                "joined" => room += 1,
                "left" => room -= 1,
                other => panic!("{other}"),
            }
        }
    }
    let sockets = |clients: &[Client]| clients.iter().map(|client| client.socket.clone()).collect();
    let expected: [BTreeSet<String>; 2] =
        [sockets(&clients[..CLIENTS / 2]), sockets(&clients[CLIENTS / 2..])];
    assert_eq!([resumed, disconnected], expected);
    until("the others have left", async || in_room(&mut bystander).await == CLIENTS / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_of_two_nodes_that_drain_at_once_move_to_the_third() {
    let redis = RedisServer::start().await;
    let redis = format!("redis={}", redis.url());
    let nodes = [(); 3].map(|()| api(&[&redis]));
    let [(one, one_api), (two, two_api), (three, _)] = &nodes;
    let (mut of_one, mut of_two) = (clients(one, 10).await, clients(two, 10).await);
    drain(one_api, &json!({ "window_ms": 3_600_000 }));
    drain(two_api, &json!({ "window_ms": 3_600_000 }));
    for client in of_one.iter_mut().chain(&mut of_two) {
        while client.peer.next_event().await.0 != "@goaway" {}
    }
    // A node that drains accepts nobody, not even a client of the other one.
    let refused = Peer::try_connect(&format!("{}/?sb=1", two.url()), &[]).await.err().expect("it is refused");
    assert!(refused.contains("503"), "{refused}");
    let mut moved = resume(three, of_one.iter().chain(&of_two)).await;
    for client in of_one.iter_mut().chain(&mut of_two) {
        assert_eq!(client.peer.closed().await.0, 1012);
    }
    until("all have moved", async || in_room(&mut moved[0]).await == 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_in_its_drain_loses_no_session() {
    let redis = RedisServer::start().await;
    let redis = format!("redis={}", redis.url());
    let ((one, one_api), (two, _)) = (api(&[&redis]), api(&[&redis]));
    let clients = clients(&one, 20).await;
    drain(&one_api, &json!({ "window_ms": 3_600_000 }));
    let mut moved = resume(&two, &clients[..10]).await;
    one.signal("-KILL");
    moved.extend(resume(&two, &clients[10..]).await);
    until("all have moved", async || in_room(&mut moved[0]).await == 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_is_cancelled_in_the_middle_keeps_the_clients_that_have_not_moved() {
    let redis = RedisServer::start().await;
    let redis = format!("redis={}", redis.url());
    let ((one, one_api), (two, _)) = (api(&[&redis]), api(&[&redis]));
    let mut clients = clients(&one, 20).await;
    drain(&one_api, &json!({ "window_ms": 3_600_000 }));
    let mut moved = resume(&two, &clients[..10]).await;
    drain(&one_api, &json!({ "cancel": true }));
    for client in &mut clients[10..] {
        loop {
            let (event, data) = client.peer.next_event().await;
            if event == "@goaway" && data["cancelled"] == true {
                break;
            }
        }
        assert_eq!(request(&mut client.peer, "/whoami", json!({})).await["id"], client.socket, "it stays");
    }
    until("nobody is lost", async || in_room(&mut moved[0]).await == 20).await;
    // And back to the node that no longer drains.
    let (_peer, session) = connect(&one, None).await;
    assert_eq!(session["resumed"], false);
}

#[expect(clippy::disallowed_methods, reason = "it measures what clients wait for")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: 10,000 clients"]
async fn ten_thousand_clients_of_a_killed_node_are_back_on_another_one() {
    const CLIENTS: usize = 10_000;
    let redis = RedisServer::start().await;
    let redis = format!("redis={}", redis.url());
    let ((killed, _), (living, _)) = (api(&[&redis]), api(&[&redis]));
    let mut all = Vec::new();
    // In batches, because too many handshakes at once time out.
    for _ in 0..CLIENTS / 100 {
        all.extend(clients(&killed, 100).await);
    }
    let (mut bystander, _) = connect(&living, None).await;
    until("all have joined", async || in_room(&mut bystander).await == CLIENTS).await;
    killed.signal("-KILL");
    let killed_at = now();
    let resumed = join_all(all.chunks(500).map(|some| resume(&living, some))).await;
    println!("{CLIENTS} sessions were resumed {:?} after the kill", killed_at.elapsed());
    until("each has its place once", async || in_room(&mut bystander).await == CLIENTS).await;
    drop(resumed);
}
