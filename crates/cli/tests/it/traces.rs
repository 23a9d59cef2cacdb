//! Traces over the HTTP API.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use switchboard_dispatcher::{Dispatcher, Message};
use switchboard_testkit::RedisServer;

use crate::backend::{Answer, KEY, api, call, connect_seven, next_message, send};
use crate::clients::until;

fn get(address: &str, path: &str) -> Answer {
    let authorization = format!("Bearer {KEY}");
    let headers = [("Authorization", &*authorization)];
    send(address, "GET", &format!("/api/v1/{path}"), &headers, "").expect("an answer")
}

/// The number of sockets that user 7 has on all nodes.
fn sockets_of_seven(address: &str) -> usize {
    get(address, "users/7").body["sockets"].as_array().map_or(0, Vec::len)
}

/// The kinds of the steps that each node has recorded.
fn kinds(trace: &Value) -> Vec<BTreeSet<&str>> {
    let nodes = trace["nodes"].as_array().expect("a list").iter();
    nodes
        .map(|node| {
            let steps = node["steps"].as_array().expect("a list").iter();
            steps.map(|step| step["step"].as_str().expect("a kind")).collect()
        })
        .collect()
}

#[tokio::test]
async fn a_send_with_trace_returns_an_id_whose_steps_all_nodes_return() {
    let redis = RedisServer::start().await;
    let redis = format!("redis.url={}", redis.url());
    let ((one, first), (two, second)) = (api(&[&redis]), api(&[&redis]));
    let (mut near, mut far) = (connect_seven(&one).await, connect_seven(&two).await);
    until("both sockets are listed", async || sockets_of_seven(&first) == 2).await;
    let body = json!({ "event": "SAID", "data": 1, "to": { "users": ["7"] }, "trace": true });
    let sent = call(&first, "send", &body);
    let id = sent.body["trace"].as_str().expect("an id").to_owned();
    assert_eq!(next_message(&mut near).await, json!(1));
    assert_eq!(next_message(&mut far).await, json!(1));
    let path = format!("traces/{id}");
    for address in [&first, &second] {
        let mut trace = Value::Null;
        until("both nodes have recorded it", async || {
            trace = get(address, &path).body;
            trace["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
        })
        .await;
        assert_eq!((&trace["recorded"], &trace["unanswered"]), (&json!(true), &json!([])));
        let kinds = kinds(&trace);
        assert!(kinds[0].is_superset(&["sent", "receiver", "resolved", "written", "published"].into()));
        assert!(kinds[1].is_superset(&["received", "receiver", "resolved", "written"].into()));
        let listed = get(address, "traces").body;
        assert_eq!(
            (&listed["traces"][0]["trace"], &listed["traces"][0]["event"]),
            (&json!(id), &json!("SAID"))
        );
        assert!(listed["traces"][1].is_null());
    }
    let plain = call(&first, "send", &json!({ "event": "SAID", "to": { "users": ["7"] } }));
    assert!(plain.body["trace"].is_null(), "{}", plain.body);
}

#[tokio::test]
async fn a_traced_message_of_a_dispatcher_is_recorded_by_the_node_that_receives_it() {
    let redis = RedisServer::start().await;
    let (server, address) = api(&[&format!("redis.url={}", redis.url()), "inbox.enabled=true"]);
    let mut seven = connect_seven(&server).await;
    until("the socket is listed", async || sockets_of_seven(&address) == 1).await;
    let dispatcher = Dispatcher::connect(&redis.url()).await.unwrap();
    let plain = Message::new(0, &1, "SAID").unwrap().without_sync().with_trace();
    // A user who is online receives a stored message at once, too.
    let stored = Message::new(0, &2, "SAID").unwrap().with_trace();
    for message in [plain, stored] {
        dispatcher.dispatch(&message, &["7"]).await.unwrap();
        next_message(&mut seven).await;
        let path = format!("traces/{}", message.trace_id().unwrap());
        until("it is written", async || {
            let trace = get(&address, &path).body;
            kinds(&trace).iter().any(|kinds| kinds.is_superset(&["receiver", "written"].into()))
        })
        .await;
    }
}

#[test]
fn an_unknown_trace_is_not_recorded_and_an_invalid_one_is_refused() {
    let (_server, address) = api(&[]);
    let unknown = get(&address, "traces/4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((unknown.status, &unknown.body["recorded"]), (200, &json!(false)));
    for path in ["traces/7", "traces/zzf92f3577b34da6a3ce929d0e0e4736", "traces?limit=0", "traces?limit=1001"]
    {
        let refused = get(&address, path);
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid")), "{path}");
    }
}
