//! Arguments of handlers: data, extractors, and arguments that wait.

use std::pin::Pin;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{
    App, AsyncFromRequest, Data, FromRequest, IntoResponse, Next, Payload, Reply, ReplyError, Request, Setup,
    Socket, State, User, debug_handler, debug_middleware,
};
use switchboard_testkit::TestServer;
use tokio::sync::{Mutex, Semaphore};

use crate::app;
use crate::router_mistakes::panic_of;

#[tokio::test]
async fn the_user_extractor_requires_a_login() {
    let app = App::new()
        .on("/login", async |socket: Socket| Reply(socket.login("7").unwrap()))
        .on("/me", async |User(user): User| Reply(user));
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/me", json!({})).await["code"], "unauthorized");
    assert_eq!(peer.request("/login", json!({})).await, true);
    assert_eq!(peer.request("/login", json!({})).await, false);
    assert_eq!(peer.request("/me", json!({})).await, "7");
}

#[tokio::test]
async fn falsy_data_is_an_empty_object_or_else_what_the_client_sent() {
    #[derive(Deserialize, serde::Serialize)]
    struct Optional {
        name: Option<String>,
    }
    let app = App::new()
        .on("/i32", async |Data(n): Data<i32>| Reply(n))
        .on("/bool", async |Data(b): Data<bool>| Reply(b))
        .on("/text", async |Data(text): Data<String>| Reply(text))
        .on("/unit", async |Data(()): Data<()>| Reply("unit"))
        .on("/option", async |Data(n): Data<Option<i32>>| Reply(n))
        .on("/struct", async |Data(data): Data<Optional>| Reply(data))
        .on("/list", async |Data(data): Data<Vec<i32>>| Reply(data))
        .on("/value", async |Data(data): Data<Value>| Reply(data))
        .on("/payload", async |data: Payload| data);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    for (event, sent, seen) in [
        ("/i32", json!(0), json!(0)),
        ("/bool", json!(false), json!(false)),
        ("/text", json!(""), json!("")),
        ("/unit", Value::Null, json!("unit")),
        ("/option", json!(0), json!(0)),
        ("/option", Value::Null, Value::Null),
        ("/struct", json!(0), json!({ "name": null })),
        ("/struct", Value::Null, json!({ "name": null })),
        ("/value", json!(0), json!({})),
        ("/value", json!(""), json!({})),
        ("/payload", json!(false), json!({})),
    ] {
        assert_eq!(peer.request(event, sent.clone()).await, seen, "{event} {sent}");
    }
    for (event, sent, problem) in [
        ("/i32", json!(""), "invalid type: string \"\", expected i32"),
        ("/i32", json!(0.0), "invalid type: floating point `0.0`, expected i32"),
        ("/text", json!(0), "invalid type: integer `0`, expected a string"),
        ("/list", Value::Null, "invalid type: null, expected a sequence"),
    ] {
        let reply = peer.request(event, sent).await;
        assert_eq!(reply["code"], "bad_data");
        assert!(reply["error"].as_str().unwrap().starts_with(problem), "{reply}");
    }
    for (event, seen) in [("/option", Value::Null), ("/unit", json!("unit")), ("/value", json!({}))] {
        peer.send(&json!({ "event": event, "ackId": 1 })).await;
        assert_eq!(peer.next().await["data"], seen, "{event} without data");
    }
}

/// Any JSON; numbers that a `Value` represents exactly.
fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-8_i32..8).prop_map(|n| json!(f64::from(n) / 4.0)),
        Just(json!(0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[test]
fn any_value_reaches_a_handler_as_documented() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_server, peer) = runtime.block_on(async {
        let app = App::new()
            .on("/value", async |Data(value): Data<Value>| Reply(value))
            .on("/payload", async |payload: Payload| payload)
            .on("/bool", async |value: Data<bool>| Reply(value.0))
            .on("/i64", async |value: Data<i64>| Reply(value.0))
            .on("/text", async |value: Data<String>| Reply(value.0));
        let server = TestServer::start(app).await;
        let peer = server.peer().await;
        (server, Mutex::new(peer))
    });
    let request = |event: &str, data: &Value| {
        runtime.block_on(async { peer.lock().await.request(event, data.clone()).await })
    };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let property = |sent: Value| {
        let seen = if is_falsy(&sent) { json!({}) } else { sent.clone() };
        prop_assert_eq!(&request("/value", &sent), &seen);
        prop_assert_eq!(&request("/payload", &sent), &seen);
        for (event, fits) in
            [("/bool", sent.is_boolean()), ("/i64", sent.is_i64()), ("/text", sent.is_string())]
        {
            let reply = request(event, &sent);
            match fits {
                true => prop_assert_eq!(&reply, &sent),
                false => prop_assert_eq!(&reply["code"], &json!("bad_data")),
            }
        }
        Ok(())
    };
    runner.run(&json_values(), property).unwrap();
}

/// A row of a slow database: the request waits until the gate has a permit.
struct Row(String);

impl AsyncFromRequest for Row {
    async fn from_request(request: &Request) -> Result<Self, ReplyError> {
        let State(gate) = State::<Arc<Semaphore>>::from_request(request)?;
        let Data(key) = Data::<String>::from_request(request)?;
        gate.acquire().await?.forget();
        if key == "missing" { Err(ReplyError::new("no_row", "no such row")) } else { Ok(Row(key)) }
    }

    fn check(setup: &Setup) -> Result<(), String> {
        State::<Arc<Semaphore>>::check(setup)
    }
}

#[debug_handler]
async fn row(socket: Socket, Row(row): Row, Data(key): Data<String>) -> Result<Reply<String>, ReplyError> {
    socket.emit("found", &key)?;
    Ok(Reply(row))
}

#[tokio::test]
async fn a_handler_starts_when_its_arguments_are_there_and_delays_no_others() {
    let gate = Arc::new(Semaphore::new(0));
    let app = app().with_state(gate.clone()).on("/row", row);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    peer.send(&json!({ "event": "/row", "data": "ann", "ackId": "row" })).await;
    assert_eq!(peer.request("/echo", json!(1)).await, 1);
    gate.add_permits(1);
    assert_eq!(peer.next_event().await, ("found".into(), json!("ann")));
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "row", "data": "ann" }));
}

#[tokio::test]
async fn an_argument_that_waits_refuses_like_any_other_and_may_be_optional() {
    let gate = Arc::new(Semaphore::new(100));
    let app = App::new()
        .with_state(gate)
        .on("/row", row)
        .on("/some", async |row: Option<Row>| Reply(row.map(|Row(row)| row)))
        .on("/result", async |row: Result<Row, ReplyError>| {
            Reply(row.map_err(|e| e.code().to_owned()).map(|r| r.0))
        })
        .on("/data", async |data: Result<Data<u8>, ReplyError>| match data {
            Ok(Data(number)) => Reply(json!(number)),
            Err(error) => Reply(json!(error.code())),
        });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/row", json!(7)).await["code"], "bad_data");
    assert_eq!(peer.request("/row", json!("missing")).await["code"], "no_row");
    assert_eq!(peer.request("/some", json!("missing")).await, Value::Null);
    assert_eq!(peer.request("/some", json!("ann")).await, "ann");
    assert_eq!(peer.request("/result", json!("ann")).await, json!({ "Ok": "ann" }));
    assert_eq!(peer.request("/result", json!("missing")).await, json!({ "Err": "no_row" }));
    assert_eq!(peer.request("/data", json!(7)).await, 7);
    assert_eq!(peer.request("/data", json!(700)).await, "bad_data");
}

#[tokio::test]
async fn the_states_of_arguments_that_wait_are_checked_when_the_app_is_served() {
    for app in [App::new().on("/row", row), App::new().on("/row", async |_: Option<Row>| ())] {
        let (message, _) = panic_of(|| drop(app.into_service()));
        assert!(message.contains("takes State<") && message.contains("App::with_state"), "{message}");
    }
}

#[tokio::test]
async fn handlers_take_their_arguments_in_any_order_and_more_than_once() {
    #[debug_handler]
    async fn sum(Data(a): Data<i32>, _: Socket, Data(b): Data<i32>, request: Request) -> Reply<i32> {
        Reply(a + b + request.data::<i32>().unwrap())
    }
    #[debug_handler]
    fn boxed(Data(a): Data<i32>) -> Pin<Box<dyn Future<Output = Reply<i32>> + Send>> {
        Box::pin(async move { Reply(a) })
    }
    #[debug_handler]
    async fn hidden() -> impl IntoResponse {
        Reply(4)
    }
    #[debug_middleware]
    async fn pass(request: Request, next: Next) -> impl IntoResponse {
        next.run(request).await
    }
    let app = App::new().on("/sum", sum).on("/boxed", boxed).on("/hidden", hidden).middleware(pass);
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/sum", json!(7)).await, 21);
    assert_eq!(peer.request("/boxed", json!(7)).await, 7);
    assert_eq!(peer.request("/hidden", json!(7)).await, 4);
}
