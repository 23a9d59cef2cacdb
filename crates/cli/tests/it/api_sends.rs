//! Endpoints of the HTTP API that send to clients and change them: sends, requests, memberships and batches.

use std::thread;

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, Scratch};

use crate::backend::{
    Answer, KEY, api, call, call_idempotent, connect_seven, next_message, post, results, wait_for_delivery,
};
use crate::clients::{request, until};

/// Calls an endpoint in a thread, so that the test can act as the client meanwhile.
fn call_in_background(address: &str, endpoint: &'static str, body: Value) -> thread::JoinHandle<Answer> {
    let address = address.to_owned();
    thread::spawn(move || call(&address, endpoint, &body))
}

/// Answers the next request of the server with `data`; skips other frames.
async fn reply_to_next(peer: &mut Peer, data: Value) -> Value {
    loop {
        let frame = peer.next().await;
        if frame["type"] != "ack" && !frame["ackId"].is_null() {
            peer.send(&json!({ "type": "ack", "ackId": frame["ackId"], "data": data })).await;
            return frame;
        }
    }
}

#[tokio::test]
async fn a_send_reaches_its_audience_once_and_counts_those_of_this_node() {
    let (server, address) = api(&[]);
    let (mut seven, mut guest) = (connect_seven(&server).await, Peer::connect(&server.url()).await);
    request(&mut guest, "/join", json!({ "room": "lobby" })).await;
    let everyone = json!({ "users": ["7"], "rooms": ["lobby"], "everyone": true });
    for (to, except, expected) in [
        (json!({ "users": ["7"] }), json!({}), 1),
        (json!({ "rooms": ["lobby"], "users": ["7"] }), json!({ "users": ["7"] }), 1),
        (everyone.clone(), json!({}), 2),
        (json!({ "shards": ["lobby"] }), json!({}), 1),
        (json!({ "tags": ["nobody"] }), json!({}), 0),
    ] {
        let body = json!({ "event": "SAID", "data": expected, "to": to, "except": except });
        let answer = call(&address, "send", &body);
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "sockets_here": expected, "behind_here": 0 })),
            "{body}"
        );
    }
    let volatile = json!({ "event": "SAID", "data": 9, "to": everyone, "policy": "volatile" });
    assert_eq!(call(&address, "send", &volatile).body["sockets_here"], 2);
    for expected in [1, 2, 9] {
        assert_eq!(next_message(&mut seven).await, json!(expected));
    }
    for expected in [1, 2, 1, 9] {
        assert_eq!(next_message(&mut guest).await, json!(expected));
    }
}

#[tokio::test]
async fn a_send_with_an_unknown_policy_or_a_key_without_latest_is_refused() {
    let (_server, address) = api(&[]);
    for policy in ["live", "volatile", "latest", "oldest"] {
        let body = json!({ "event": "SAID", "to": { "everyone": true }, "policy": policy });
        assert_eq!(
            call(&address, "send", &body).body,
            json!({ "sockets_here": 0, "behind_here": 0 }),
            "{policy}"
        );
    }
    let with = |policy: &str, key: &str| {
        let body = json!({ "event": "SAID", "to": { "everyone": true }, "policy": policy, "key": key });
        call(&address, "send", &body).body
    };
    assert_eq!(with("latest", "ann")["sockets_here"], 0);
    for (policy, key) in [("oldest", "ann"), ("latest", ""), ("latest", &"k".repeat(257))] {
        assert_eq!(with(policy, key)["field"], "key", "{policy} {key}");
    }
    let mut dispatch =
        json!({ "type": "SAID", "to": { "everyone": true }, "policy": "latest", "key": "ann" });
    assert_eq!(call(&address, "dispatch", &dispatch).body, json!({ "sockets_here": 0 }));
    dispatch["sync"] = json!(true);
    assert_eq!(call(&address, "dispatch", &dispatch).body["field"], "policy");
    let batch = json!({ "calls": [
        { "call": "send", "body": { "event": "SAID", "to": { "everyone": true }, "policy": "latest", "key": "ann" } },
        { "call": "send", "body": { "event": "SAID", "to": { "everyone": true }, "policy": "newest" } },
    ] });
    let results = call(&address, "batch", &batch).body["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!(200), &json!(400)));
}

#[tokio::test]
async fn a_send_to_inboxes_is_stored_and_cannot_be_volatile() {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox.redb"));
    let (_server, address) = api(&[&path, "inbox.enabled=true"]);
    let mut body = json!({ "event": "SAID", "to": { "users": ["7", "8"] }, "except": { "users": ["8"] }, "inbox": true });
    assert_eq!(call(&address, "send", &body).body, json!({ "inboxes": 1, "evicted": 0 }));
    body["policy"] = json!("volatile");
    assert_eq!(call(&address, "send", &body).body["field"], "policy");
    body["policy"] = json!("live");
    body["to"]["rooms"] = json!(["lobby"]);
    assert_eq!(call(&address, "send", &body).body["field"], "inbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_returns_the_reply_of_each_client_and_why_others_have_none() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let mut koji = Peer::connect(&format!("{}/?projectId=default", server.url())).await;
    assert_eq!(koji.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
    let to = json!({ "everyone": true, "sockets": ["00000000-0000-4000-8000-000000000000"] });
    let body = json!({ "event": "/ready?", "data": 1.50, "to": to, "timeout_ms": 25_000 });
    let waiting = call_in_background(&address, "request", body);
    let question = reply_to_next(&mut seven, json!({ "yes": 1e300 })).await;
    assert_eq!((&question["event"], &question["data"]), (&json!("/ready?"), &json!(1.5)));
    let answer = waiting.join().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let replies = answer.body["replies"].as_array().expect("replies");
    let with = |key: &str, value: Value| replies.iter().filter(|reply| reply[key] == value).count();
    assert_eq!(replies.len(), 3, "{replies:?}");
    assert_eq!(with("reply", json!({ "yes": 1e300 })), 1);
    assert_eq!((with("error", json!("cannot_reply")), with("error", json!("closed"))), (1, 1), "{replies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_replies_arrive_as_lines() {
    let (server, address) = api(&[]);
    let (mut seven, mut eight) = (connect_seven(&server).await, Peer::connect(&server.url()).await);
    let body = json!({ "event": "/q", "to": { "everyone": true }, "timeout_ms": 25_000, "stream": true });
    let text = thread::spawn(move || {
        let key = format!("Authorization: Bearer {KEY}");
        let output = std::process::Command::new("curl")
            .args(["-sN", &format!("http://{address}/api/v1/request"), "-H", &key, "-d", &body.to_string()])
            .output();
        String::from_utf8(output.expect("curl runs").stdout).expect("it is text")
    });
    reply_to_next(&mut seven, json!(7)).await;
    reply_to_next(&mut eight, json!(8)).await;
    let text = text.join().unwrap();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let mut replies: Vec<&Value> = lines.iter().map(|line| &line["reply"]).collect();
    replies.sort_unstable_by_key(|reply| reply.as_u64());
    assert_eq!(replies, [&json!(7), &json!(8)], "{text}");
}

#[tokio::test]
async fn an_invalid_request_to_clients_names_the_member() {
    let (_server, address) = api(&[]);
    let to = json!({ "everyone": true });
    for (body, field) in [
        (json!({ "event": "/q", "to": {} }), "to"),
        (json!({ "event": "", "to": to }), "event"),
        (json!({ "event": "/q", "to": to, "timeout_ms": 0 }), "timeout_ms"),
        (json!({ "event": "/q", "to": to, "timeout_ms": 25_001 }), "timeout_ms"),
        (json!({ "event": "/q", "to": { "shards": [""] } }), "to.shards[0]"),
    ] {
        let answer = call(&address, "request", &body);
        assert_eq!((answer.status, &answer.body["field"]), (400, &json!(field)), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn memberships_change_for_an_audience_on_all_nodes() {
    let redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let ((one, first), (two, second)) = (api(&[&through]), api(&[&through]));
    let (mut near, mut far) = (connect_seven(&one).await, connect_seven(&two).await);
    wait_for_delivery(&mut near, "7", &second).await;
    wait_for_delivery(&mut far, "7", &first).await;
    let change = |endpoint: &str, key: &str| {
        let answer = call(&first, endpoint, &json!({ "to": { "users": ["7"] }, key: "hall" }));
        assert_eq!((answer.status, answer.body), (200, json!({ "sockets_here": 1 })), "{endpoint}");
    };
    for (add, remove, key, set) in [("join", "leave", "room", "rooms"), ("tag", "untag", "tag", "tags")] {
        change(add, key);
        let sent =
            |address: &str| call(address, "send", &json!({ "event": "HI", "to": { set: ["hall"] } })).body;
        assert_eq!(sent(&first)["sockets_here"], 1);
        until("the other node has executed it", async || sent(&second)["sockets_here"] == 1).await;
        let counted = json!({ "event": "HI", "to": { set: ["hall"] }, "count": true });
        until("both are counted", async || call(&first, "send", &counted).body["sockets"] == 2).await;
        change(remove, key);
        assert_eq!(sent(&first)["sockets_here"], 0);
        until("the other node has executed it", async || sent(&second)["sockets_here"] == 0).await;
    }
    let users = |count: usize| (0..count).map(|user| user.to_string()).collect::<Vec<_>>();
    let counted = |users: &[String]| {
        call(&first, "send", &json!({ "event": "HI", "to": { "users": users }, "count": true }))
    };
    let answer = counted(&users(100));
    assert_eq!((answer.status, &answer.body["sockets"]), (200, &json!(2)), "{}", answer.body);
    let answer = counted(&users(101));
    assert_eq!((answer.status, &answer.body["field"]), (400, &json!("count")), "{}", answer.body);
}

#[tokio::test]
async fn each_call_of_a_batch_has_its_own_result_and_a_repeated_batch_has_no_effect() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let to = json!({ "users": ["7"] });
    let calls = json!({ "calls": [
        { "call": "join", "body": { "to": to, "room": "hall" } },
        { "call": "send", "body": { "event": "SAID", "data": 1, "to": { "rooms": ["hall"] } } },
        { "call": "send", "body": { "event": "SAID", "data": 2, "to": to, "extra": 1 } },
        { "call": "nothing", "body": {} },
        { "call": "batch", "body": { "calls": [] } },
        { "call": "request", "body": { "event": "/q", "to": { "users": ["8"] }, "stream": true } },
        { "call": "keys", "body": {} },
        { "call": "send", "body": { "event": "SAID", "data": 3, "to": to } },
    ] });
    let answer = call_idempotent(&address, "batch", "a", &calls);
    let statuses: Vec<&Value> = results(&answer).iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 200, 400, 400, 400, 400, 200, 200], "{}", answer.body);
    let fields: Vec<&Value> = results(&answer)[2..6].iter().map(|result| &result["body"]["field"]).collect();
    assert_eq!(fields, ["extra", "call", "call", "stream"]);
    assert_eq!(results(&answer)[0]["body"], json!({ "sockets_here": 1 }));
    assert_eq!(results(&answer)[6]["body"]["keys"][0]["name"], "api.keys[0]");
    assert_eq!(call_idempotent(&address, "batch", "a", &calls).body, answer.body);
    assert_eq!((next_message(&mut seven).await, next_message(&mut seven).await), (json!(1), json!(3)));
    assert_eq!(call(&address, "send", &json!({ "event": "SAID", "data": 4, "to": to })).status, 200);
    assert_eq!(next_message(&mut seven).await, json!(4), "the repeated batch sent nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_results_of_a_batch_have_a_bound_beyond_which_queries_fail_and_messages_are_still_sent() {
    let history = "history.rooms={ big = { messages_max = 100, bytes_max = 2000000 } }";
    let (server, address) = api(&[history]);
    let mut seven = connect_seven(&server).await;
    let text = "x".repeat(30_000);
    for _ in 0..34 {
        let line = json!({ "event": "LINE", "data": text, "to": { "rooms": ["big"] } });
        assert_eq!(call(&address, "send", &line).status, 200);
    }
    let query = json!({ "call": "history", "body": { "room": "big", "limit": 100 } });
    let mut calls = vec![query; 40];
    calls.push(json!({ "call": "send", "body": { "event": "SAID", "data": 5, "to": { "users": ["7"] } } }));
    let answer = call(&address, "batch", &json!({ "calls": calls }));
    let results = results(&answer);
    let fitting = results.iter().take_while(|result| result["status"] == 200).count();
    assert!((14..=17).contains(&fitting), "{fitting} results of about 1 MB are in 16 MiB");
    let others = &results[fitting..40];
    assert!(others.iter().all(|result| result["body"]["code"] == "result_too_large"), "{:?}", others[0]);
    assert_eq!((&results[40]["status"], next_message(&mut seven).await), (&json!(200), json!(5)));
}

#[tokio::test]
async fn a_batch_has_at_most_1000_calls_which_keep_their_order() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let calls = |count: usize| -> Value {
        let calls = (0..count).map(
            |n| json!({ "call": "send", "body": { "event": "SAID", "data": n, "to": { "users": ["7"] } } }),
        );
        json!({ "calls": calls.collect::<Vec<_>>() })
    };
    let refused = call(&address, "batch", &calls(1001));
    assert_eq!((refused.status, &refused.body["field"]), (400, &json!("calls")));
    let answer = call(&address, "batch", &calls(1000));
    assert!(results(&answer).len() == 1000 && results(&answer).iter().all(|result| result["status"] == 200));
    for n in 0..1000 {
        assert_eq!(next_message(&mut seven).await, json!(n));
    }
    let empty = post(&address, "batch", &[("Authorization", &format!("Bearer {KEY}"))], "{\"calls\":[]}");
    assert_eq!(empty.expect("an answer").body, json!({ "results": [] }));
}
