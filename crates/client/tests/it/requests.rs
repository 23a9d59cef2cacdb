//! Requests in both directions: replies, refusals, time-outs, and the history of a room.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::{App, Data, HistoryLimits, Payload, Reply, Request};
use switchboard_client::{Client, EmitError, HistoryPart, NO_HANDLER, Position, RefusedEvent, RequestError};
use tokio_websockets::Message;

use crate::{SOON, drop_me, echo, listen_to, next, scripted, start};

#[tokio::test]
async fn concurrent_requests_receive_their_own_replies() {
    let client = Client::connect(&start(App::new().on("/echo", echo)).await).await.unwrap();
    let replies = (0..100).map(|n| {
        let client = client.clone();
        async move { client.request::<u32>("/echo", &(n + 1)).await.unwrap() == n + 1 }
    });
    assert!(futures_util::future::join_all(replies).await.into_iter().all(|is_equal| is_equal));
}

#[tokio::test]
async fn a_client_reads_the_history_of_a_room_and_learns_of_a_gap() {
    let limits = HistoryLimits { messages_max: 2, ..HistoryLimits::default() };
    let app = App::new().with_room_history("chat-*", limits);
    let url = start(app.clone()).await;
    let client = Client::connect(&url).await.unwrap();
    for n in 1..=3 {
        app.to("#chat-1").emit("message", &n).unwrap();
    }
    let latest = client.history("chat-1", HistoryPart::Latest, 10).await.unwrap();
    assert_eq!((latest.first, latest.top, latest.gap, latest.messages.len()), (2, 3, false, 2));
    assert_eq!((&*latest.messages[1].event, latest.messages[1].data.to::<u32>().unwrap()), ("message", 3));
    let older = client.history("chat-1", HistoryPart::Before(latest.top_position()), 10).await.unwrap();
    assert_eq!(older.messages.iter().map(|message| message.offset).collect::<Vec<_>>(), [2]);
    let start = Position { offset: 0, ..latest.top_position() };
    assert!(client.history("chat-1", HistoryPart::After(start), 10).await.unwrap().gap);
    let refused = client.history("lobby", HistoryPart::Latest, 10).await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused { code, .. } if code == "no_history"));
}

#[tokio::test]
async fn an_error_reply_is_distinguished_from_a_reply_of_the_wrong_type() {
    let app = App::new().on("/add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    let client = Client::connect(&start(app).await).await.unwrap();
    assert_eq!(client.request::<i32>("/add", &(1, 2)).await.unwrap(), 3);
    let refused = client.request::<i32>("/add", &"x").await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused { code, .. } if code == "bad_data"));
    let wrong = client.request::<String>("/add", &(1, 2)).await.unwrap_err();
    assert!(matches!(wrong, RequestError::Decode(_)));
}

#[tokio::test]
async fn a_request_that_has_no_handler_is_refused_with_the_code_no_handler() {
    let similar = async || Reply(json!({ "error": "No handler for: x", "tries": 3 }));
    let app = App::new().on("/game/similar", similar);
    let client = Client::connect(&start(app).await).await.unwrap();
    let mistyped = [
        client.request::<Value>("/gmae", &()).await,
        client.ns("/game").request("/similr", &()).await,
        client.request("@connection", &()).await,
        client.request(&"/x".repeat(200), &()).await,
    ];
    for refused in mistyped {
        let error = refused.expect_err("nothing handles it");
        assert!(matches!(&error, RequestError::Refused { code, .. } if code == NO_HANDLER), "{error:?}");
    }
    let error = client.request::<Value>("/gmae", &()).await.expect_err("nothing handles it");
    assert_eq!(error.to_string(), "refused: No handler for: /gmae");
    let reply = client.ns("/game").request::<Value>("/similar", &()).await.expect("a handler replied");
    assert_eq!(reply["tries"], 3, "a reply with other members is a result");
}

async fn never() {
    std::future::pending().await
}

#[tokio::test]
async fn a_request_without_a_reply_fails_after_its_timeout_or_when_the_connection_is_lost() {
    let app = App::new().on("/never", never).on("/drop", drop_me);
    let client = Client::connect(&start(app).await).await.unwrap();
    let short = client.request_within::<Value>(Duration::from_millis(50), "/never", &()).await;
    assert!(matches!(short, Err(RequestError::Timeout(_))));
    let mut disconnects = listen_to(&client, "@disconnect");
    let (lost, sent) = tokio::join!(client.request::<Value>("/never", &()), client.emit("/drop", &()));
    sent.unwrap();
    assert!(matches!(lost, Err(RequestError::Disconnected)));
    assert_eq!(next(&mut disconnects).await, json!({ "code": 4000, "reason": "dropped" }));
    assert!(!client.connected());
    assert!(matches!(client.emit("/x", &()).await, Err(EmitError::Disconnected)));
}

#[tokio::test]
async fn a_request_of_the_server_is_handled_during_a_request_of_the_client() {
    let app = App::new().on("/ask", async |request: Request| {
        let reply: Value = request.socket().request("/double", &21).await.unwrap();
        Reply(reply)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    client.handle("/double", |data: Payload| async move { data.to::<u32>().ok().map(|n| n * 2) });
    assert_eq!(client.request::<u32>("/ask", &()).await.unwrap(), 42);
}

#[tokio::test]
async fn nested_namespaces_concatenate_their_prefixes() {
    let app = App::new().on("/game/lobby/join", echo);
    let client = Client::connect(&start(app).await).await.unwrap();
    let lobby = client.ns("/game").ns("/lobby");
    assert_eq!(lobby.request::<u32>("/join", &1).await.unwrap(), 1);
}

#[tokio::test]
async fn an_array_reply_is_not_an_error() {
    let app = App::new().on("/pair", async || Reply(("ann", "bob")));
    let client = Client::connect(&start(app).await).await.unwrap();
    let pair: (String, String) = client.request("/pair", &()).await.unwrap();
    assert_eq!(pair, ("ann".into(), "bob".into()));
}

#[tokio::test]
async fn replies_may_arrive_in_any_order_and_repeatedly() {
    let url = scripted(async |mut peer| {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let request = peer.next().await.unwrap().unwrap();
            let request: Value = serde_json::from_str(request.as_text().unwrap()).unwrap();
            ids.push((request["ackId"].clone(), request["data"].clone()));
        }
        for (id, data) in ids.iter().rev().chain(&ids) {
            let reply = json!({ "type": "ack", "ackId": id, "data": data });
            peer.send(Message::text(reply.to_string())).await.unwrap();
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let (one, two) = tokio::join!(client.request::<u32>("/x", &1), client.request::<u32>("/x", &2));
    assert_eq!((one.unwrap(), two.unwrap()), (1, 2));
}

#[tokio::test]
async fn a_failed_handler_is_reported_and_the_next_request_gets_its_reply() {
    let app = App::new().on("/ask", async |request: Request, Data(event): Data<String>| {
        request.socket().request_within::<Value>(SOON, &event, &()).await.map(Reply)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut errors = listen_to(&client, "@error");
    client.handle("/panics", |_| async { if true { panic!("on purpose") } else { Some(1) } });
    client.handle("/no-json", |_| async { Some(std::collections::BTreeMap::from([((1, 2), 3)])) });
    client.handle("/good", |_| async { Some(7) });
    client.emit("/ask", &"/panics").await.unwrap();
    assert_eq!(next(&mut errors).await, json!({ "error": "the handler of /panics panicked" }));
    client.emit("/ask", &"/no-json").await.unwrap();
    assert!(next(&mut errors).await["error"].as_str().unwrap().starts_with("the reply to /no-json"));
    assert_eq!(client.request::<u32>("/ask", &"/good").await.unwrap(), 7);
}

#[tokio::test]
async fn at_most_256_requests_of_the_server_are_in_progress() {
    let url = scripted(async |mut peer| {
        peer.next().await.unwrap().unwrap();
        for n in 1..=257 {
            let request = json!({ "event": "/never", "ackId": n });
            peer.send(Message::text(request.to_string())).await.unwrap();
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let mut errors = listen_to(&client, "@error");
    client.handle("/never", |_| std::future::pending::<Option<()>>());
    client.emit("/ready", &()).await.unwrap();
    assert!(next(&mut errors).await["error"].as_str().unwrap().contains("256"));
    assert!(errors.try_recv().is_err());
}

#[tokio::test]
async fn a_refused_event_without_a_reply_reaches_the_listeners_of_refused() {
    let client = Client::connect(&start(App::new().on("/echo", echo)).await).await.unwrap();
    let (sender, mut refused) = tokio::sync::mpsc::channel(10);
    client.on_data("@refused", move |event: RefusedEvent| sender.try_send(event).unwrap());
    client.emit("/ecko", &1).await.unwrap();
    let event = tokio::time::timeout(SOON, refused.recv()).await.unwrap().unwrap();
    assert_eq!((event.event.as_deref(), &*event.code), (Some("/ecko"), NO_HANDLER));
    assert_eq!((&*event.error, event.retry_after_ms), ("No handler for: /ecko", None));
    client.emit("/echo", &1).await.unwrap();
    assert_eq!(client.request::<u32>("/echo", &2).await.unwrap(), 2);
    assert!(refused.try_recv().is_err(), "an accepted event is not refused");
}
