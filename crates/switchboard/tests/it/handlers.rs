//! Handlers, replies, errors, and the order of frames.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{App, Data, Next, NoReply, Payload, Plugin, Reply, ReplyError, Request, Socket, State};
use switchboard_testkit::{TestServer, soon};
use tokio::sync::{Notify, mpsc};

use crate::app;

#[tokio::test]
async fn the_return_value_of_a_handler_is_the_reply() {
    #[derive(Deserialize)]
    struct Add {
        a: i64,
        b: i64,
    }
    let app = App::new()
        .on("/add", async |Data(Add { a, b }): Data<Add>| Reply(a + b))
        .on("/raw", async |data: Payload| data)
        .on("/state", async |State(name): State<&'static str>, data: Option<Data<u8>>| {
            Reply((name, data.map(|d| d.0)))
        })
        .with_state("the state");
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/add", json!({ "a": 1, "b": 2 })).await, 3);
    assert_eq!(peer.request("/raw", json!([1, { "x": null }])).await, json!([1, { "x": null }]));
    assert_eq!(peer.request("/state", json!(7)).await, json!(["the state", 7]));
    assert_eq!(peer.request("/state", json!("seven")).await, json!(["the state", null]));
}

#[tokio::test]
async fn data_of_the_wrong_type_is_refused_with_the_expected_type() {
    let app = App::new().on("/n", async |Data(n): Data<u8>| Reply(n));
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for invalid in [json!("x"), json!({}), json!(300), json!(null)] {
        let reply = peer.request("/n", invalid).await;
        assert_eq!(reply["code"], "bad_data");
        assert!(reply["error"].as_str().unwrap().contains("u8"), "{reply}");
    }
}

#[tokio::test]
async fn an_error_is_sent_as_a_reply_without_its_cause() {
    let (reports, mut reported) = mpsc::channel(10);
    let app = App::new()
        .on("/refuse", async || Err::<(), _>(ReplyError::new("too_late", "the game has begun")))
        .on("/fail", async || -> Result<(), ReplyError> {
            Err(std::io::Error::other("password is 1234").into())
        })
        .on("@error", move |Data(error): Data<Value>| {
            let reports = reports.clone();
            async move { reports.try_send(error).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(
        peer.request("/refuse", json!({})).await,
        json!({ "error": "the game has begun", "code": "too_late" })
    );
    assert_eq!(
        peer.request("/fail", json!({})).await,
        json!({ "error": "internal error", "code": "internal" })
    );
    let first = soon("a report", reported.recv()).await.unwrap();
    assert_eq!(first, json!({ "event": "/refuse", "code": "too_late", "error": "the game has begun" }));
    let second = soon("a report", reported.recv()).await.unwrap();
    assert_eq!(second["error"], "internal error: password is 1234");
}

#[tokio::test]
async fn an_event_without_a_handler_is_an_error_for_middleware_and_hooks() {
    let (reports, mut reported) = mpsc::channel(10);
    let (errors, mut seen) = mpsc::channel(10);
    let app = App::new()
        .middleware(move |request: Request, next: Next| {
            let errors = errors.clone();
            async move {
                let response = next.run(request).await;
                errors.try_send(response.is_error()).unwrap();
                response
            }
        })
        .on("@error", move |Data(error): Data<Value>| {
            let reports = reports.clone();
            async move { reports.try_send(error).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.emit("/mesage", json!({})).await;
    let error = "No handler for: /mesage";
    let report = soon("a report", reported.recv()).await.unwrap();
    assert_eq!(report, json!({ "event": "/mesage", "code": "no_handler", "error": error }));
    assert!(soon("the middleware", seen.recv()).await.unwrap());
    assert_eq!(peer.request("/mesage", json!({})).await, json!({ "error": error }), "as by emit.gg");
}

#[tokio::test]
async fn a_request_that_another_client_does_not_answer_is_a_refusal_with_a_code() {
    let app = App::new().on("/ask", async |request: Request| -> Result<(), ReplyError> {
        request.socket().request_within::<Value>(Duration::from_millis(1), "/silent", &()).await?;
        Ok(())
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/ask", "ackId": "a" })).await;
    let mut reply = peer.next().await;
    while reply["type"] != "ack" {
        reply = peer.next().await;
    }
    assert_eq!(reply["data"]["code"], "timeout", "{reply}");
}

#[tokio::test]
async fn an_invalid_frame_is_reported_to_the_error_hook_with_its_cause() {
    let (reports, mut reported) = mpsc::channel(10);
    let app = App::new().on("@error", move |Data(error): Data<Value>| {
        let reports = reports.clone();
        async move { reports.try_send(error).unwrap() }
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send_text("{").await;
    let cause = "frame is not a JSON object: EOF while parsing an object at line 1 column 1";
    let report = soon("a report", reported.recv()).await.unwrap();
    assert_eq!(report, json!({ "event": "", "code": "bad_frame", "error": cause }));
}

#[tokio::test]
async fn a_panic_in_a_handler_affects_only_its_event() {
    let (reports, mut reported) = mpsc::channel(10);
    let app = app()
        .on("/panic", async || -> () { panic!("on purpose") })
        .on("/panic-later", async || -> () {
            tokio::task::yield_now().await;
            panic!("later")
        })
        .on("@error", move |Data(error): Data<Value>| {
            let reports = reports.clone();
            async move { reports.try_send(error["error"].clone()).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/panic", "ackId": "p" })).await;
    assert_eq!(soon("a report", reported.recv()).await.unwrap(), "on purpose");
    peer.emit("/panic-later", json!({})).await;
    assert_eq!(soon("a report", reported.recv()).await.unwrap(), "later");
    peer.quiet().await;
}

#[tokio::test]
async fn handlers_start_in_order_and_a_suspended_handler_delays_no_others() {
    let gate = Arc::new(Notify::new());
    let app = app()
        .on("/wait", async |State(gate): State<Arc<Notify>>| {
            gate.notified().await;
            Reply("waited")
        })
        .on("/open", async |State(gate): State<Arc<Notify>>| gate.notify_one())
        .with_state(gate);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/wait", "ackId": "wait" })).await;
    for n in 1..=100 {
        peer.send(&json!({ "event": "/echo", "data": n, "ackId": n })).await;
    }
    for n in 1..=100 {
        assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": n, "data": n }));
    }
    peer.emit("/open", json!({})).await;
    assert_eq!(peer.next().await["data"], "waited");
}

#[tokio::test]
async fn events_emitted_by_a_handler_arrive_before_its_reply() {
    let app = App::new().on("/both", async |request: Request| {
        request.emit("first", &1).unwrap();
        request.reply(&"explicit").unwrap();
        Reply("returned")
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/both", "ackId": "a" })).await;
    assert_eq!(peer.next().await, json!({ "event": "first", "data": 1 }));
    assert_eq!(peer.next().await["data"], "explicit");
    assert_eq!(peer.next().await["data"], "returned");
}

#[tokio::test]
async fn hooks_of_the_app_and_all_its_plugins_are_called() {
    struct Greeter(&'static str);
    impl Plugin for Greeter {
        fn install(self, app: App) -> App {
            let name = self.0;
            app.on("@connection", move |request: Request| async move { request.emit("hello", name).unwrap() })
        }
    }
    let (sender, mut received) = mpsc::channel(10);
    let app = App::new()
        .plugin((Greeter("one"), Greeter("two")))
        .plugin(vec![Greeter("three")])
        .on("@connection", async |request: Request| {
            request.set("name", "Ann".to_owned());
            request.join("#all").unwrap();
            request.emit("hello", "app").unwrap();
        })
        .on("@disconnect", move |request: Request, Data(end): Data<Value>| {
            let sender = sender.clone();
            let hook_data = (request.get::<String>("name"), request.socket().rooms().len(), end);
            async move { sender.try_send(hook_data).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for name in ["one", "two", "three", "app"] {
        assert_eq!(peer.next_event().await, ("hello".into(), json!(name)));
    }
    peer.close().await;
    let hook_data = soon("the disconnect hook is called", received.recv()).await.unwrap();
    assert_eq!(hook_data, (Some("Ann".into()), 0, json!({ "code": 1000, "reason": "" })));
}

#[tokio::test]
async fn a_handler_without_a_value_replies_null_once() {
    let app = App::new()
        .on("/unit", async || ())
        .on("/ok", async || Ok::<(), ReplyError>(()))
        .on("/waits", async || tokio::task::yield_now().await)
        .on("/replies", async |request: Request| request.reply(&"explicit").unwrap())
        .on("/refuses", async || Err::<(), _>(ReplyError::new("no", "no")));
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for event in ["/unit", "/ok", "/waits"] {
        assert_eq!(peer.request(event, json!({})).await, Value::Null, "{event}");
    }
    assert_eq!(peer.request("/replies", json!({})).await, "explicit");
    assert_eq!(peer.request("/refuses", json!({})).await["code"], "no");
    peer.emit("/unit", json!({})).await;
    peer.quiet().await;
}

#[tokio::test]
async fn no_reply_leaves_a_request_unanswered_or_answered_later() {
    let (open, opened) = std::sync::mpsc::channel();
    let opened = Arc::new(std::sync::Mutex::new(Some(opened)));
    let app = App::new()
        .on("/never", async || NoReply)
        .on(
            "/maybe",
            async |Data(is_ok): Data<bool>| {
                if is_ok { Ok(NoReply) } else { Err(ReplyError::new("no", "no")) }
            },
        )
        .on("/later", move |request: Request| {
            let opened = opened.lock().unwrap().take().unwrap();
            async move {
                std::thread::spawn(move || {
                    opened.recv().unwrap();
                    request.reply(&"later").unwrap();
                });
                NoReply
            }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for event in ["/never", "/maybe", "/later"] {
        peer.send(&json!({ "event": event, "data": true, "ackId": event })).await;
    }
    peer.quiet().await;
    assert_eq!(peer.request("/maybe", json!(false)).await["code"], "no");
    open.send(()).unwrap();
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "/later", "data": "later" }));
}

#[tokio::test]
async fn the_close_code_of_the_app_reaches_the_peer_and_the_disconnect_hook() {
    let (sender, mut received) = mpsc::channel(1);
    let app = App::new()
        .on("/leave", async |socket: Socket| {
            socket.close(4001, "first");
            socket.close(4002, "second");
        })
        .on("@disconnect", move |Data(end): Data<Value>| {
            let sender = sender.clone();
            async move { sender.try_send(end["code"].clone()).unwrap() }
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.emit("/leave", json!({})).await;
    assert_eq!(peer.closed().await, (4001, "first".into()));
    assert_eq!(soon("the disconnect hook is called", received.recv()).await.unwrap(), 4001);
}
