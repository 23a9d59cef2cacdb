//! Requests from the server to its clients.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{Limits, Reply, Request, RequestError, Socket};
use switchboard_testkit::{TestServer, soon};
use tokio::sync::mpsc;

use crate::app;

#[tokio::test]
async fn a_handler_may_ask_its_own_peer_and_is_answered() {
    let app = app().on("/ask", async |socket: Socket| {
        let answer: Value = socket.request("/client/ask", &json!({ "q": 1 })).await.unwrap();
        Reply(json!({ "answer": answer }))
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/ask", "ackId": "mine" })).await;
    let question = peer.next().await;
    assert_eq!((&question["event"], &question["data"]), (&json!("/client/ask"), &json!({ "q": 1 })));
    // Answers to nothing are dropped.
    for nothing in [json!("no such"), json!(17), json!({})] {
        peer.send(&json!({ "type": "ack", "ackId": nothing, "data": 0 })).await;
    }
    for _ in 0..2 {
        peer.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": [2] })).await;
    }
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "mine", "data": { "answer": [2] } }));
    peer.quiet().await;
}

#[tokio::test]
async fn handlers_that_all_ask_their_own_peer_are_all_answered() {
    let app = app().on("/ask", async |request: Request| {
        let answer: u64 = request.socket().request("/q", request.payload()).await.unwrap();
        Reply(answer)
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    // Many times more than may wait, and all of them sent before the first answer.
    for n in 1..=1000 {
        peer.send(&json!({ "event": "/ask", "data": n, "ackId": n })).await;
    }
    let mut answered = 0;
    while answered < 1000 {
        let frame = peer.next().await;
        if frame["type"] == "ack" {
            assert_eq!(frame["ackId"], frame["data"]);
            answered += 1;
        } else {
            peer.send(&json!({ "type": "ack", "ackId": frame["ackId"], "data": frame["data"] })).await;
        }
    }
    peer.quiet().await;
}

#[tokio::test]
async fn a_request_ends_when_the_peer_does_not_answer_or_goes() {
    let mut limits = Limits::default();
    limits.requests_pending_max = 2;
    let (outcomes, mut outcome) = mpsc::channel(10);
    let app = app().with_limits(limits).on("/ask", move |request: Request| {
        let outcomes = outcomes.clone();
        async move {
            let timeout = Duration::from_millis(request.data::<u64>().unwrap());
            let answer = request.socket().request_within::<Value>(timeout, "/q", &1).await;
            outcomes.try_send(answer.unwrap_err()).unwrap();
        }
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.emit("/ask", json!(20)).await;
    let short = soon("a time-out", outcome.recv()).await.unwrap();
    assert!(matches!(short, RequestError::Timeout(_)));
    for _ in 0..3 {
        peer.emit("/ask", json!(60_000)).await;
    }
    let third = soon("a refusal", outcome.recv()).await.unwrap();
    assert!(matches!(third, RequestError::TooMany { max: 2 }));
    peer.close().await;
    for _ in 0..2 {
        let gone = soon("the peer went", outcome.recv()).await.unwrap();
        assert!(matches!(gone, RequestError::Closed));
    }
}
