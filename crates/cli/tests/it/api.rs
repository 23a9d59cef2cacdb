//! The dispatch endpoint of the HTTP API, and `switchboard dispatch` over HTTP and through Redis.

use serde_json::{Value, json};
use switchboard_testkit::{Peer, RedisServer, Scratch};

use crate::backend::{
    Answer, KEY, api, call, call_idempotent, connect_seven, message_to_seven, next_message, post, shell,
};
use crate::clients::{request, until};
use crate::support::get;

fn dispatch(address: &str, body: &Value) -> Answer {
    call(address, "dispatch", body)
}

#[tokio::test]
async fn a_dispatch_reaches_exactly_its_audience() {
    let (server, address) = api(&[]);
    let (mut seven, mut guest) = (connect_seven(&server).await, Peer::connect(&server.url()).await);
    request(&mut guest, "/join", json!({ "room": "lobby" })).await;
    let answer = dispatch(&address, &message_to_seven(1));
    assert_eq!((answer.status, answer.body), (200, json!({ "sockets_here": 1 })));
    let but_seven = json!({ "type": "SAID", "to": { "everyone": true }, "except": { "users": ["7"] } });
    assert_eq!(dispatch(&address, &but_seven).body, json!({ "sockets_here": 1 }));
    let both = json!({ "type": "SAID", "data": [1.50], "to": { "rooms": ["#lobby", "lobby"], "users": ["7"], "tags": ["x"] } });
    assert_eq!(dispatch(&address, &both).body, json!({ "sockets_here": 2 }));
    let elsewhere = json!({ "type": "SAID", "to": { "everyone": true }, "project": "other" });
    assert_eq!(dispatch(&address, &elsewhere).body, json!({ "sockets_here": 0 }));
    assert_eq!((next_message(&mut seven).await, next_message(&mut seven).await), (json!(1), json!([1.5])));
    assert_eq!((next_message(&mut guest).await, next_message(&mut guest).await), (json!({}), json!([1.5])));

    // The address of clients serves pages and accepts no POST.
    assert_eq!(dispatch(&server.address, &message_to_seven(1)).status, 405);
    let served = get(&address, "/api/v1/openapi.json");
    let spec = include_str!("../../../../spec/openapi.json");
    assert!(served.ends_with(spec), "the description needs no key");
}

#[tokio::test]
async fn a_message_may_have_an_operation_other_than_0_or_no_type() {
    let (server, address) = api(&["mesa.enabled=true", "mesa.listen=127.0.0.1:0"]);
    let mut emit = Peer::connect(&server.url()).await;
    request(&mut emit, "/join", json!({ "room": "lobby" })).await;
    let mut mesa = Peer::connect(&format!("{}/mesa", server.url())).await;
    assert_eq!(mesa.next().await["op"], 10);
    let everyone = json!({ "everyone": true });
    for (message, frame, name) in [
        (json!({ "op": 7, "type": "ODD", "data": 1 }), json!({ "op": 7, "d": 1, "t": "ODD" }), "@op/7/ODD"),
        (json!({ "op": 0, "data": 2 }), json!({ "op": 0, "d": 2 }), "@op/0"),
        (json!({ "op": 0, "type": "SAID" }), json!({ "op": 0, "d": {}, "t": "SAID" }), "SAID"),
    ] {
        let mut body = message.clone();
        body["to"] = everyone.clone();
        assert_eq!(dispatch(&address, &body).status, 200, "{body}");
        assert_eq!(mesa.next().await, frame);
        until("it is received", async || emit.next().await["event"] == name).await;
    }
    let url = format!("http://{address}");
    let (code, _) = shell("dispatch", &["--url", &url, "--op", "-7", "--everyone", "ODD", "3"], Some(KEY));
    assert_eq!(code, Some(0));
    assert_eq!(mesa.next().await, json!({ "op": -7, "d": 3, "t": "ODD" }));
}

#[tokio::test]
async fn a_refused_request_gets_a_status_and_the_reason() {
    let (_server, address) = api(&["api.body_bytes_max=1000"]);
    for headers in [&[][..], &[("Authorization", "Bearer 0123456789abcdef")], &[("Authorization", KEY)]] {
        let answer =
            post(&address, "dispatch", headers, &message_to_seven(1).to_string()).expect("an answer");
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorized")));
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    let long = "x".repeat(257);
    for (body, error) in [
        (json!({}), "missing field `to`"),
        (json!({ "to": { "everyone": true } }), "type: missing"),
        (json!({ "type": "A", "op": "7", "to": { "everyone": true } }), "op: invalid type"),
        (
            json!({ "type": "A", "to": { "users": ["1", "*"] } }),
            "to.users[1]: use `everyone` to address everyone",
        ),
        (json!({ "type": "A" }), "missing field `to`"),
        (json!({ "type": "A", "to": {} }), "to: expected at least one recipient"),
        (json!({ "type": "", "to": { "everyone": true } }), "type: a name cannot be empty"),
        (json!({ "type": "A", "to": { "users": ["1", 7] } }), "to.users[1]: invalid type"),
        (json!({ "type": "A", "to": { "users": [long] } }), "to.users[0]: name is 257 bytes"),
        (json!({ "type": "A", "to": { "sockets": ["x"] } }), "to.sockets[0]: "),
        (json!({ "type": "A", "to": { "user": ["1"] } }), "to.user: unknown field `user`"),
        (json!({ "type": "A", "to": { "everyone": true }, "project": "" }), "project: "),
        (
            json!({ "type": "A", "to": { "users": ["1"] }, "sync": true }),
            "sync: the inbox of this server is off",
        ),
    ] {
        let answer = dispatch(&address, &body);
        let reason = answer.body["detail"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 400, "{body}: {reason}");
        assert!(reason.starts_with(error), "{body}: {reason}");
    }
    let nested = |levels: usize| {
        let data = "[".repeat(levels) + &"]".repeat(levels);
        format!(r#"{{"type":"A","data":{data},"to":{{"everyone":true}}}}"#)
    };
    let key = format!("Bearer {KEY}");
    for (levels, status) in [(63, 200), (64, 400), (400, 400)] {
        let answer =
            post(&address, "dispatch", &[("Authorization", &key)], &nested(levels)).expect("an answer");
        assert_eq!(answer.status, status, "{levels} levels: {}", answer.body);
    }
    for body in ["", "{", "null", "{\"type\":\"A\",\"to\":{\"everyone\":true}} 2"] {
        assert_eq!(
            post(&address, "dispatch", &[("Authorization", &key)], body).expect("an answer").status,
            400,
            "{body}"
        );
    }
    let large = json!({ "type": "A", "data": "x".repeat(1000), "to": { "everyone": true } });
    assert_eq!(dispatch(&address, &large).status, 413);
    assert_eq!(call_idempotent(&address, "dispatch", &"x".repeat(257), &message_to_seven(1)).status, 400);
}

#[tokio::test]
async fn a_repeated_request_is_performed_once() {
    let (server, address) = api(&[]);
    let mut seven = connect_seven(&server).await;
    let first = call_idempotent(&address, "dispatch", "a", &message_to_seven(1));
    let again = call_idempotent(&address, "dispatch", "a", &message_to_seven(1));
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.body, again.body);
    for answer in [&first, &again] {
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    }
    assert!(
        !first.head.contains("idempotency-replayed") && again.head.contains("idempotency-replayed: true")
    );
    assert_eq!(call_idempotent(&address, "dispatch", "a", &message_to_seven(2)).status, 422);
    assert_eq!(call_idempotent(&address, "dispatch", "b", &json!({})).status, 400);
    assert_eq!(
        call_idempotent(&address, "dispatch", "b", &message_to_seven(3)).status,
        200,
        "a refused request is not remembered"
    );
    assert_eq!((next_message(&mut seven).await, next_message(&mut seven).await), (json!(1), json!(3)));
}

#[tokio::test]
async fn requests_above_the_rate_limit_are_refused_with_429() {
    let (_server, address) = api(&["api.requests_per_second=2"]);
    let answers: Vec<Answer> = (0..6).map(|n| dispatch(&address, &message_to_seven(n))).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && answers[0].status == 200 && answers[1].status == 200);
    assert!(refused[0].head.contains("retry-after: 1"), "{}", refused[0].head);
    until("the rate limit allows requests again", async || {
        dispatch(&address, &message_to_seven(7)).status == 200
    })
    .await;
}

#[tokio::test]
async fn a_stored_message_is_confirmed_or_the_request_fails() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (_server, address) =
        api(&[&through, "mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.sync.enabled=true"]);
    let mut sync =
        json!({ "type": "SAID", "to": { "users": ["7", "8"] }, "except": { "users": ["8"] }, "sync": true });
    let answer = dispatch(&address, &sync);
    assert_eq!((answer.status, answer.body), (200, json!({ "inboxes": 1, "evicted": 0 })));
    redis.kill();
    until("storing fails", async || dispatch(&address, &sync).status == 503).await;
    sync["to"]["rooms"] = json!(["lobby"]);
    let answer = dispatch(&address, &sync);
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[tokio::test]
async fn a_dispatch_while_redis_is_down_is_marked_as_degraded() {
    let mut redis = RedisServer::start().await;
    let through = format!("redis={}", redis.url());
    let (server, address) = api(&[&through]);
    let mut seven = connect_seven(&server).await;
    assert_eq!(dispatch(&address, &message_to_seven(1)).body, json!({ "sockets_here": 1 }));
    redis.kill();
    until("the outage is noticed", async || {
        dispatch(&address, &message_to_seven(2)).body["degraded"] == true
    })
    .await;
    assert_eq!(dispatch(&address, &message_to_seven(3)).body, json!({ "sockets_here": 1, "degraded": true }));
    assert_eq!(next_message(&mut seven).await, json!(1));
    while next_message(&mut seven).await != 3 {}
}

/// Data with one level more than data in frames of clients may have.
fn too_deep() -> String {
    "[".repeat(64) + &"]".repeat(64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatch_command_sends_over_http() {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox.redb"));
    let (server, address) =
        api(&[&path, "mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.sync.enabled=true"]);
    let url = format!("http://{address}");
    let mut seven = connect_seven(&server).await;
    let here = |sockets: &str| {
        format!(
            "sent to {sockets} of the node at {url}; sockets of other nodes, if there are any, are not counted\n"
        )
    };
    let sent = shell("dispatch", &["--url", &url, "--key", KEY, "--to-user", "7", "SAID", "[1]"], None);
    assert_eq!(sent, (Some(0), here("1 socket")));
    let sent = shell("dispatch", &["--url", &url, "--to", "#nobody", "SAID"], Some(KEY));
    assert_eq!(sent, (Some(0), here("0 sockets")));
    let sent =
        shell("dispatch", &["--url", &url, "--to", "#nobody", "--everyone", "SAID", "a text"], Some(KEY));
    assert_eq!(sent, (Some(0), here("1 socket")));
    assert_eq!(
        (next_message(&mut seven).await, next_message(&mut seven).await),
        (json!([1]), json!("a text"))
    );
    let stored =
        shell("dispatch", &["--url", &url, "--to-user", "8", "--to-user", "9", "--sync", "SAID"], Some(KEY));
    assert_eq!(stored, (Some(0), "stored in 2 inboxes\n".into()));

    for (args, key, status, expected) in [
        (&["--to-user", "7"][..], None, 2, "--url needs a key; set DISPATCH_KEY"),
        (
            &["--to-user", "7"],
            Some("wrong"),
            1,
            "answered 401: a key of api.keys or api.named_keys is required",
        ),
        (&["--to", "lobby"], Some(KEY), 2, "`lobby` is neither a `#room` nor a `*tag`"),
        (&["--to", "#lobby", "--sync"], Some(KEY), 2, "answered 400: sync: "),
        (&["--everyone", "--legacy"], Some(KEY), 2, "--redis"),
        (&[], Some(KEY), 2, "--to-user"),
        (&["--everyone", &too_deep()], Some(KEY), 2, "answered 400: data: data nests deeper than 63 levels"),
    ] {
        let (code, text) = shell("dispatch", &[&["--url", &url, "SAID"], args].concat(), key);
        assert!(code == Some(status) && text.contains(expected), "{args:?}: {code:?} {text}");
    }
    let clients = format!("http://{}", server.address);
    let (code, text) = shell("dispatch", &["--url", &clients, "--everyone", "SAID"], Some(KEY));
    assert_eq!(code, Some(1));
    assert!(
        text.contains("but it is not the HTTP API\n\nhint: --url is the address of api.listen"),
        "{text}"
    );
    let nowhere = shell("dispatch", &["--url", "http://127.0.0.1:1", "--everyone", "SAID"], Some(KEY));
    assert!(nowhere.1.starts_with("error: cannot reach http://127.0.0.1:1"), "{:?}", nowhere);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatch_command_sends_through_redis() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let through = format!("redis={url}");
    let (server, _) = api(&[&through]);
    let mut seven = connect_seven(&server).await;
    // The node records the user in Redis with a delay.
    until("the user is known", async || {
        request(&mut seven, "/online", json!({ "userId": "7" })).await["online"] == json!(true)
    })
    .await;
    let published = "published through Redis; how many sockets receive it is not known\n".to_owned();
    let sent = shell("dispatch", &["--redis", &url, "--to-user", "7", "SAID", "{\"n\":1}"], None);
    assert_eq!(sent, (Some(0), published.clone()));
    let sent = shell("dispatch", &["--redis", &url, "--everyone", "--except-user", "7", "SAID"], None);
    assert_eq!(sent, (Some(0), published.clone()));
    let stored = shell("dispatch", &["--redis", &url, "--to-user", "7", "--sync", "LATER", "2"], None);
    assert_eq!(stored, (Some(0), "stored in 1 inbox\n".into()));
    let sent = shell("dispatch", &["--redis", &url, "--to-user", "7", "SAID", "no json"], None);
    assert_eq!(sent, (Some(0), published.clone()));
    assert_eq!(next_message(&mut seven).await["n"], 1);
    assert_eq!(next_message(&mut seven).await, json!("no json"));

    for (args, status, expected) in [
        (
            &["--redis", &url, "--to", "#lobby", "--sync", "SAID"][..],
            2,
            "--sync stores messages for users only",
        ),
        (&["--redis", "http://x", "--everyone", "SAID"], 2, "the Redis options are invalid"),
        (&["--redis", "redis://127.0.0.1:1", "--everyone", "SAID"], 1, "cannot reach Redis at 127.0.0.1:1"),
        (&["--redis", &url, "--legacy", "--to", "#lobby", "SAID"], 1, "legacy servers cannot send to #lobby"),
        (&["--everyone", "SAID"], 2, "--redis"),
        (&["--redis", &url, "--everyone", "SAID", &too_deep()], 2, "data nests deeper than 63 levels"),
    ] {
        let (code, text) = shell("dispatch", args, None);
        assert!(code == Some(status) && text.contains(expected), "{args:?}: {code:?} {text}");
    }
}
