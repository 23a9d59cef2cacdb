//! `switchboard explain`: traced messages and dry runs, in sentences or as JSON.

use serde_json::{Value, json};
use switchboard_testkit::RedisServer;

use crate::backend::{KEY, api, call, connect_seven, next_message, shell};
use crate::clients::{request, until};
use crate::support::Server;

/// Runs `explain`. Returns its status and output.
fn explain(address: &str, args: &[&str]) -> (Option<i32>, String) {
    shell("explain", &[args, &["--url", &format!("http://{address}")]].concat(), Some(KEY))
}

fn sentences(address: &str, args: &[&str]) -> Vec<String> {
    let (status, output) = explain(address, args);
    assert_eq!(status, Some(0), "{output}");
    output.lines().map(str::to_owned).collect()
}

fn send(address: &str, to: &Value) -> String {
    let body = json!({ "event": "SAID", "data": 1, "to": to, "trace": true });
    call(address, "send", &body).body["trace"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_message_is_printed_in_sentences_or_as_json() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let id = send(&address, &json!({ "users": ["7"] }));
    next_message(&mut seven).await;
    until("the socket has received it", async || {
        let sentences = sentences(&address, &[&id]);
        sentences.iter().any(|one| one.starts_with("User 7 has one socket. It received it after "))
    })
    .await;
    let (_, json) = explain(&address, &[&id, "--json"]);
    let json: Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!((&json["trace"], &json["recorded"]), (&json!(id), &json!(true)));
    let unknown = sentences(&address, &["4bf92f3577b34da6a3ce929d0e0e4736"]);
    assert!(unknown[0].starts_with("No node knows this message"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_whether_a_message_would_arrive() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let would = sentences(&address, &["--to", "user:7", "--event", "order"]);
    assert_eq!(would[0], "User 7 has one socket. It would receive it.");
    let in_room = ["--to", "#hall", "--user", "7"];
    let outside = "User 7 has one socket. It is not in #hall, so it would not receive it.";
    assert_eq!(sentences(&address, &in_room)[0], outside);
    request(&mut seven, "/join", json!({ "room": "hall" })).await;
    assert_eq!(sentences(&address, &in_room)[0], "User 7 has one socket. It would receive it.");
    for (args, part) in [
        (&["--to", "lobby"][..], "names no recipients"),
        (&["--to", "user:7", "--event", ""], "event"),
        (&[][..], "required"),
        (&["7"], "trace"),
        (&["4bf92f3577b34da6a3ce929d0e0e4736", "--to", "user:7"], "cannot be used with"),
    ] {
        let (status, output) = explain(&address, args);
        assert!(status == Some(2) && output.contains(part), "{args:?}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_named() {
    let redis = RedisServer::start().await;
    let sets = [&*format!("redis.url={}", redis.url()), "node.lease_ms=30000"];
    let ((one, first), (two, second)) = (api(&sets), api(&sets));
    let (_near, mut far) = (connect_seven(&one).await, connect_seven(&two).await);
    let two_sockets = "User 7 has two sockets. One would receive it. The other would receive it.";
    let would = async || sentences(&first, &["--to", "user:7"])[0] == two_sockets;
    until("both sockets are described", would).await;
    let id = send(&first, &json!({ "users": ["7"] }));
    next_message(&mut far).await;
    let node = node_of(&second);
    two.signal("-STOP");
    let silent = format!("Node {node} did not answer, so its part is unknown.");
    let life = sentences(&first, &[&id]);
    let prospects = sentences(&first, &["--to", "user:7"]);
    let url = format!("http://{first}");
    let (status, listed) = shell("sockets", &["--details", "--url", &url], Some(KEY));
    two.signal("-CONT");
    assert_eq!((status, listed.matches("127.0.0.1").count()), (Some(0), 1), "{listed}");
    assert!(listed.contains(&format!("node {node} did not answer, so its entries are missing")), "{listed}");
    assert!(life.contains(&silent), "{life:#?}");
    let silent = format!("Node {node} did not answer, so its sockets are unknown.");
    assert!(prospects.contains(&silent), "{prospects:#?}");
    drop::<Server>(one);
}

/// The node that answers at an address.
fn node_of(address: &str) -> String {
    let (_, output) = shell("nodes", &["--url", &format!("http://{address}")], Some(KEY));
    let this = output.lines().find(|line| line.contains("\ttrue")).expect("this node");
    this.split('\t').next().expect("an id").to_owned()
}
