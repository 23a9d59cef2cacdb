//! Refused events without a reply: clients that connect with `sb=1` receive the refusal that a request would receive.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::access::AccessRequest;
use switchboard::protocols::ProjectRules;
use switchboard::rates::{RateKey, RateRule};
use switchboard::{App, Data, Koji, Next, NoReply, Reply, ReplyError, Request, Response};
use switchboard_testkit::{Peer, TestServer};

use crate::rights::join_as_client;

async fn double(Data(number): Data<i32>) -> Reply<i32> {
    Reply(number * 2)
}

async fn fail() -> Result<(), ReplyError> {
    Err(std::io::Error::other("the disk is full"))?
}

async fn too_late() -> ReplyError {
    ReplyError::new("too_late", "the game is over")
}

async fn too_late_after_a_wait() -> ReplyError {
    tokio::time::sleep(Duration::from_millis(5)).await;
    ReplyError::new("too_late", "the game is over")
}

async fn not_closed(request: Request, next: Next) -> Response {
    match request.event() {
        "/closed" => switchboard::IntoResponse::into_response(ReplyError::unauthorized()),
        _ => next.run(request).await,
    }
}

fn app() -> App {
    let rule = RateRule::new(["/seldom"], RateKey::Socket, "1/d").unwrap();
    App::new()
        .middleware(not_closed)
        .on("/double", double)
        .on("/fail", fail)
        .on("/late", too_late)
        .on("/later", too_late_after_a_wait)
        .on("/silent", async || NoReply)
        .on("/seldom", async || Reply(1))
        .on("/join", join_as_client)
        .with_access_rule(|_: &AccessRequest<'_>| false)
        .with_rate_rules([rule])
}

/// Events, and the code of their refusal.
const REFUSED: [(&str, &str); 9] = [
    ("/dubble", "no_handler"),
    ("@custom", "no_handler"),
    ("@history", "no_handler"),
    ("/double", "bad_data"),
    ("/join", "forbidden"),
    ("/closed", "unauthorized"),
    ("/fail", "internal"),
    ("/late", "too_late"),
    ("/later", "too_late"),
];

#[tokio::test]
async fn a_refused_event_without_a_reply_is_answered_by_a_notice_with_the_members_of_the_reply() {
    let server = TestServer::start(app()).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    for (event, code) in REFUSED {
        peer.emit(event, json!("#room")).await;
        let (name, notice) = peer.next_event().await;
        assert_eq!((&*name, &notice["event"], &notice["code"]), ("@refused", &json!(event), &json!(code)));
        if event == "@history" {
            continue;
        }
        let reply = peer.request(event, json!("#room")).await;
        assert_eq!(notice["error"], reply["error"], "{event}");
    }
    peer.quiet().await;
}

#[tokio::test]
async fn an_original_client_receives_nothing_for_a_refused_event() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    for (event, _) in REFUSED.into_iter().filter(|(event, _)| *event != "/later") {
        peer.emit(event, json!("#room")).await;
    }
    for text in ["{", "[]", "{\"data\":1}"] {
        peer.send_text(text).await;
    }
    peer.quiet().await;
}

#[tokio::test]
async fn an_accepted_event_a_request_and_the_end_of_a_rate_are_not_announced_twice() {
    let server = TestServer::start(app()).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    for event in ["/silent", "/seldom"] {
        peer.emit(event, json!(1)).await;
    }
    assert_eq!(peer.request("/nothing", json!(1)).await["error"], "No handler for: /nothing");
    peer.emit("/seldom", json!(1)).await;
    let (name, notice) = peer.next_event().await;
    assert_eq!((&*name, &notice["code"]), ("@refused", &json!("rate_limited")));
    assert!(notice["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{notice}");
    // A client that has nothing to resume shows positions nevertheless.
    peer.emit("@resume", json!({})).await;
    peer.quiet().await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_decoded_is_refused_without_an_event() {
    let server = TestServer::start(app()).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    let deep = format!("{{\"event\":\"/double\",\"data\":{}{}}}", "[".repeat(70), "]".repeat(70));
    for text in ["{", "[]", "{\"data\":1}", "{\"type\":\"ack\"}", &deep] {
        peer.send_text(text).await;
        let (name, notice) = peer.next_event().await;
        assert_eq!((&*name, &notice["code"]), ("@refused", &json!("bad_frame")), "{text}");
        assert_eq!(notice.get("event"), None, "{notice}");
        assert!(notice["error"].as_str().is_some_and(|error| !error.is_empty()), "{notice}");
    }
    // A name that is no name is not repeated without a bound.
    peer.send(&json!({ "event": "x".repeat(5000) })).await;
    assert_eq!(peer.next_event().await.1["event"].as_str().map(str::len), Some(64));
    assert_eq!(peer.request("/double", json!(2)).await, 4, "the connection stays open");
}

#[tokio::test]
async fn koji_clients_that_understand_it_are_told_which_rule_of_the_project_refuses_an_event() {
    let rules = ProjectRules {
        events: Some(vec!["chat".into()]),
        user_info_bytes_max: 300,
        shard_info_bytes_max: 1,
        ..ProjectRules::default()
    };
    let koji = Koji::new().with_projects(move |_| Some(rules.clone().into())).on("chat", fail);
    let server = TestServer::start(App::new().with_koji(koji)).await;
    let long = |bytes: usize| json!({ "userInfo": { "name": "x".repeat(bytes) } });
    let refused = [
        (json!({ "eventName": "other", "payload": {} }), "not_allowed", json!("other")),
        (json!({ "eventName": "chat", "payload": {} }), "internal", json!("chat")),
        (set_user_info(long(400)), "info_too_long", json!("SET_USER_INFO")),
        (set_user_info(long(270)), "shard_info_full", json!("SET_USER_INFO")),
        (json!({ "payload": {} }), "bad_frame", Value::Null),
    ];
    let mut original = Peer::connect(&server.url("/koji?projectId=p&shardName=1")).await;
    let mut ours = Peer::connect(&server.url("/koji?projectId=p&shardName=2&sb=1")).await;
    for peer in [&mut original, &mut ours] {
        assert_eq!(peer.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
        peer.answer_ping().await;
        assert_eq!(peer.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED");
    }
    for (frame, code, event) in refused {
        original.send(&frame).await;
        ours.send(&frame).await;
        let notice = ours.next().await;
        assert_eq!(notice["eventName"], "@@SWITCHBOARD/refused", "{notice}");
        assert_eq!((&notice["payload"]["code"], &notice["payload"]["eventName"]), (&json!(code), &event));
    }
    assert_eq!(original.silent().await, Ok(()));
}

fn set_user_info(payload: Value) -> Value {
    json!({ "eventName": "@@KOJI_DISPATCH/SET_USER_INFO", "payload": payload })
}
