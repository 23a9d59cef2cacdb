//! Handlers over HTTP, with real clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, ReplyError, Request};
use switchboard_hooks::{EventPattern, HandlerOptions, OnFailure, OutgoingOptions, Signer, install_handlers};
use switchboard_testkit::{Peer, TestServer, soon};

use crate::backend::{Action, Backend, Received, until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn options(backend: &Backend, events: &[&str]) -> HandlerOptions {
    HandlerOptions {
        name: "test".into(),
        url: backend.url(),
        secrets: vec![SECRET.into()],
        events: events
            .iter()
            .filter(|event| **event != "@connect")
            .map(|event| EventPattern::new(event).unwrap())
            .collect(),
        decides_connects: events.contains(&"@connect"),
        projects: None,
        headers: vec!["cookie".into()],
        on_failure: OnFailure::Reject,
        in_flight_max: 64,
        outgoing: OutgoingOptions {
            allow_private: true,
            timeout: Duration::from_secs(5),
            ..OutgoingOptions::default()
        },
    }
}

async fn serve(options: HandlerOptions) -> TestServer {
    let app = App::new().on("/own", async |request: Request| {
        request.reply(&"the server's own handler")?;
        Ok::<_, ReplyError>(())
    });
    TestServer::start(install_handlers(app, &[options]).unwrap()).await
}

fn question(received: &Received) -> Value {
    serde_json::from_str(&received.body).expect("a question is JSON")
}

fn answer(value: Value) -> Action {
    Action::Answer(200, "", value.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_backend_is_announced_for_an_event_without_a_reply() {
    let backend = Backend::start(|received| match question(received)["data"].as_str() {
        Some("code") => answer(json!({ "error": { "code": "game_full", "message": "no seat is free" } })),
        Some("fail") => Action::Answer(500, "", String::new()),
        _ => answer(json!({ "error": { "message": "no" } })),
    })
    .await;
    let server = serve(options(&backend, &["/sit"])).await;
    let mut original = server.peer().await;
    let mut ours = Peer::connect(&server.url("/?sb=1")).await;
    for (data, error, code) in [
        ("code", "no seat is free", json!("game_full")),
        ("plain", "no", Value::Null),
        ("fail", "", json!("unavailable")),
    ] {
        original.emit("/sit", json!(data)).await;
        let reply = ours.request("/sit", json!(data)).await;
        ours.emit("/sit", json!(data)).await;
        let (event, notice) = ours.next_event().await;
        assert_eq!((&*event, &notice["event"]), ("@refused", &json!("/sit")));
        assert_eq!((&notice["error"], &notice["code"]), (&reply["error"], &reply["code"]));
        assert!(error.is_empty() || notice["error"] == error, "{notice}");
        assert!(code.is_null() || notice["code"] == code, "{notice}");
    }
    assert_eq!(
        original.request("/own", json!({})).await,
        "the server's own handler",
        "and nothing before it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_the_backend_with_its_client_and_the_reply_comes_back() {
    let backend =
        Backend::start(|received| answer(json!({ "reply": { "echo": question(received)["data"] } }))).await;
    let server = serve(options(&backend, &["/chat/*"])).await;
    let url = server.url("/path?a=1");
    let mut peer = Peer::try_connect(&url, &[("cookie", "session=5")]).await.unwrap();
    assert_eq!(peer.request("/chat/say", json!({ "text": "hi" })).await, json!({ "echo": { "text": "hi" } }));
    assert_eq!(peer.request("/own", json!({})).await, "the server's own handler");
    let requests = backend.requests().clone();
    let [request] = &requests[..] else { panic!("one event is the backend's: {requests:?}") };
    let mut question = question(request);
    let fields = question.as_object_mut().unwrap();
    assert!(fields.remove("socket").is_some_and(|socket| socket.is_string()));
    let expected = json!({
        "event": "/chat/say", "data": { "text": "hi" }, "wants_reply": true, "project": "default", "protocol": "emit",
        "path": "/path", "query": "a=1", "address": "127.0.0.1", "headers": { "cookie": "session=5" },
    });
    assert_eq!(question, expected);
    let header = |name: &str| request.headers[name].as_str();
    let time = header("webhook-timestamp").parse().unwrap();
    let signed = Signer::new([SECRET]).unwrap().headers(header("webhook-id"), time, request.body.as_bytes());
    assert_eq!(header("webhook-signature"), signed["webhook-signature"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_an_answer_are_executed_in_order_before_the_reply() {
    let backend = Backend::start(|received| {
        let question = question(received);
        answer(match question["event"].as_str() {
            Some("/join") => json!({
                "do": [
                    { "join": { "room": "lobby" } },
                    { "tag": { "tag": "*player" } },
                    { "send": { "to": { "rooms": ["lobby"] }, "event": "joined", "data": question["data"] } },
                ],
                "reply": "welcome",
            }),
            Some("/state") => json!({ "reply": { "rooms": question["rooms"], "tags": question["tags"] } }),
            Some("/leave") => {
                json!({ "do": [{ "leave": { "room": "#lobby" } }, { "untag": { "tag": "player" } }] })
            }
            Some("/end") => {
                json!({ "do": [{ "disconnect": { "code": 4001, "reason": "bye" } }], "reply": 1 })
            }
            _ => json!({ "error": { "code": "unknown", "message": "no such event" } }),
        })
    })
    .await;
    let server = serve(options(&backend, &["*"])).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/join", "data": { "n": 1 }, "ackId": "1" })).await;
    let event = peer.next().await;
    assert_eq!(
        (&event["event"], &event["data"]),
        (&json!("joined"), &json!({ "n": 1 })),
        "it precedes the reply"
    );
    assert_eq!(peer.next().await["data"], "welcome");
    let state = peer.request("/state", json!({})).await;
    assert_eq!(state, json!({ "rooms": ["#lobby"], "tags": ["*player"] }));
    assert_eq!(peer.request("/leave", json!({})).await, Value::Null);
    assert_eq!(peer.request("/state", json!({})).await, json!({ "rooms": Value::Null, "tags": Value::Null }));
    assert_eq!(peer.request("/x", json!({})).await, json!({ "error": "no such event", "code": "unknown" }));
    assert_eq!(peer.request("/end", json!({})).await, 1, "the close frame is behind the reply");
    assert_eq!(peer.closed().await.0, 4001);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_pass_the_event_on_to_the_servers_own_handler() {
    let backend = Backend::start(|_| answer(json!({ "continue": true }))).await;
    let server = serve(options(&backend, &["/own", "/nothing"])).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/own", json!({})).await, "the server's own handler");
    assert_eq!(peer.request("/nothing", json!({})).await["error"], "No handler for: /nothing");
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_client_are_sent_one_after_another_in_order() {
    const EVENTS: u64 = 30;
    let (current, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (current.clone(), most.clone());
    let backend = Backend::start(move |received| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let reply = question(received)["data"].clone();
        now.fetch_sub(1, Ordering::SeqCst);
        answer(json!({ "reply": reply }))
    })
    .await;
    let server = serve(options(&backend, &["*"])).await;
    let mut peer = server.peer().await;
    for number in 0..EVENTS {
        peer.send(&json!({ "event": "/n", "data": { "n": number }, "ackId": number.to_string() })).await;
    }
    for number in 0..EVENTS {
        let reply = peer.next().await;
        assert_eq!((&reply["ackId"], &reply["data"]["n"]), (&json!(number.to_string()), &json!(number)));
    }
    let order: Vec<u64> =
        backend.requests().iter().map(|received| question(received)["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..EVENTS).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_backend_costs_its_own_events_only() {
    let actions = [
        (Action::status(500), "unavailable"),
        (Action::status(302), "unavailable"),
        (Action::Answer(200, "", "no JSON".into()), "unavailable"),
        (answer(json!({ "replay": 1 })), "unavailable"),
        (answer(json!({ "do": [{ "join": { "room": "" } }] })), "unavailable"),
        (Action::Break, "unavailable"),
        (Action::Hang, "timeout"),
    ];
    for (action, code) in actions {
        let shown = format!("{action:?}");
        let backend = Backend::start(move |_| action.clone()).await;
        let outgoing =
            OutgoingOptions { timeout: Duration::from_millis(300), ..options(&backend, &[]).outgoing };
        let server = serve(HandlerOptions { outgoing, ..options(&backend, &["/chat"]) }).await;
        let mut peer = server.peer().await;
        assert_eq!(peer.request("/chat", json!({})).await["code"], code, "{shown}");
        assert_eq!(peer.request("/own", json!({})).await, "the server's own handler");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_backend_fails_fast_and_is_used_again_when_it_is_back() {
    let mut backend = Backend::start(|_| answer(json!({ "reply": "here" }))).await;
    let server = serve(options(&backend, &["/chat"])).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/chat", json!({})).await, "here");
    backend.die().await;
    for _ in 0..20 {
        assert_eq!(peer.request("/chat", json!({})).await["code"], "unavailable");
    }
    backend.come_back().await;
    until("it answers again", async || peer.request("/chat", json!({})).await == "here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_allow_the_server_goes_on_without_an_answer() {
    let backend = Backend::start(|_| Action::status(503)).await;
    let allow = HandlerOptions { on_failure: OnFailure::Allow, ..options(&backend, &["/own", "@connect"]) };
    let server = serve(allow).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/own", json!({})).await, "the server's own handler");
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_backend_delays_no_other_client_below_its_bound() {
    let backend = Backend::start(|received| match question(received)["data"]["slow"].as_bool() {
        Some(true) => Action::Hang,
        _ => answer(json!({ "reply": "fast" })),
    })
    .await;
    let server = serve(options(&backend, &["/chat"])).await;
    let (mut slow, mut fast) = (server.peer().await, server.peer().await);
    slow.emit("/chat", json!({ "slow": true })).await;
    until("it is under way", async || backend.requests().len() == 1).await;
    assert_eq!(fast.request("/chat", json!({})).await, "fast");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_decides_who_may_connect_and_as_whom() {
    let backend = Backend::start(|received| {
        let question = question(received);
        assert_eq!(question["event"], "@connect");
        answer(match question["query"].as_str() {
            Some("ann") => json!({ "user": "ann", "can": { "#chat-*": "js" }, "rooms": ["lobby"] }),
            Some("nobody") => json!({}),
            _ => json!({ "error": { "message": "banned" } }),
        })
    })
    .await;
    let app = App::new().on("/state", async |request: Request| {
        let socket = request.socket();
        let state = json!({ "user": socket.user(), "rooms": socket.rooms(), "may": socket.join_as_client("chat-1").is_ok() });
        request.reply(&state)?;
        Ok::<_, ReplyError>(())
    });
    let server = TestServer::start(install_handlers(app, &[options(&backend, &["@connect"])]).unwrap()).await;
    let mut ann = Peer::connect(&server.url("/?ann")).await;
    assert_eq!(
        ann.request("/state", json!({})).await,
        json!({ "user": "ann", "rooms": ["#lobby"], "may": true })
    );
    assert_eq!(server.app.user_socket_ids("ann").await.unwrap().len(), 1);
    let mut nobody = Peer::connect(&server.url("/?nobody")).await;
    assert_eq!(nobody.request("/state", json!({})).await["user"], Value::Null);
    let mut banned = Peer::connect(&server.url("/?bob")).await;
    assert_eq!(soon("it is closed", banned.closed()).await.0, 1008);
    backend.decide(|_| Action::status(500));
    let mut unlucky = Peer::connect(&server.url("/?ann")).await;
    assert_eq!(soon("it is closed", unlucky.closed()).await.0, 1013);
}
