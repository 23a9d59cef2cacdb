//! Requests from the server to its clients.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{Limits, Reply, Request, RequestError, Socket};
use switchboard_testkit::{TestServer, soon};
use tokio::sync::mpsc;

use crate::app;

#[tokio::test]
async fn a_handler_sends_a_request_to_its_own_peer_and_receives_the_reply() {
    let app = app().on("/request", async |socket: Socket| {
        let answer: Value = socket.request("/client/question", &json!({ "q": 1 })).await.unwrap();
        Reply(json!({ "answer": answer }))
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/request", "ackId": "mine" })).await;
    let question = peer.next().await;
    assert_eq!((&question["event"], &question["data"]), (&json!("/client/question"), &json!({ "q": 1 })));
    // Replies without a matching request are dropped.
    for unknown in [json!("no such"), json!(17), json!({})] {
        peer.send(&json!({ "type": "ack", "ackId": unknown, "data": 0 })).await;
    }
    for _ in 0..2 {
        peer.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": [2] })).await;
    }
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "mine", "data": { "answer": [2] } }));
    peer.quiet().await;
}

#[tokio::test]
async fn a_thousand_handlers_that_send_requests_to_their_peer_receive_all_replies() {
    let app = app().on("/request", async |request: Request| {
        let answer: u64 = request.socket().request("/q", request.payload()).await.unwrap();
        Reply(answer)
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    // Far more than the limit of handlers in flight, all sent before the first reply.
    for n in 1..=1000 {
        peer.send(&json!({ "event": "/request", "data": n, "ackId": n })).await;
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
async fn a_request_fails_if_the_peer_does_not_reply_or_disconnects() {
    let mut limits = Limits::default();
    limits.requests_pending_max = 2;
    let (sender, mut errors) = mpsc::channel(10);
    let app = app().with_limits(limits).on("/request", move |request: Request| {
        let sender = sender.clone();
        async move {
            let timeout = Duration::from_millis(request.data::<u64>().unwrap());
            let answer = request.socket().request_within::<Value>(timeout, "/q", &1).await;
            sender.try_send(answer.unwrap_err()).unwrap();
        }
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.emit("/request", json!(20)).await;
    let timeout_error = soon("a timeout", errors.recv()).await.unwrap();
    assert!(matches!(timeout_error, RequestError::Timeout(_)));
    for _ in 0..3 {
        peer.emit("/request", json!(60_000)).await;
    }
    let refused = soon("a refusal", errors.recv()).await.unwrap();
    assert!(matches!(refused, RequestError::TooMany { max: 2 }));
    peer.close().await;
    for _ in 0..2 {
        let closed = soon("the peer disconnects", errors.recv()).await.unwrap();
        assert!(matches!(closed, RequestError::Closed));
    }
}
