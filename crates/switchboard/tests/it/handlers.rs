//! Handlers, extractors, replies, errors, and the order of frames.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::net::{AcceptOptions, ForwardedHeader};
use switchboard::{
    App, AsyncFromRequest, ConnectionInfo, Data, FromRequest, IntoResponse, Koji, Next, NoReply, Payload,
    Plugin, Reply, ReplyError, Request, Router, Setup, Socket, State, User, debug_handler, debug_middleware,
};
use switchboard_testkit::{Peer, TestServer, soon};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

use crate::{app, echo};

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
async fn a_handler_receives_the_connection_info() {
    let kept_headers = ["origin", "x-thing"].map(|name| name.parse().unwrap()).into();
    let options = AcceptOptions { kept_headers, ..AcceptOptions::default() };
    let app = App::new().with_accept_options(options).on("/info", async |info: ConnectionInfo| {
        Reply(json!([
            info.path(),
            info.query_json(),
            info.header("X-Thing"),
            info.ip(),
            info.origin(),
            info.secure(),
            info.header("sec-websocket-key"),
        ]))
    });
    let server = TestServer::start(app).await;
    let headers = [("x-thing", "a b"), ("origin", "http://page.example"), ("x-forwarded-for", "9.9.9.9")];
    let mut peer = Peer::try_connect(&server.url("/some/path?a=1&b=x%20y&a=2"), &headers).await.unwrap();
    let expected = json!([
        "/some/path", { "a": ["1", "2"], "b": "x y" }, "a b", "127.0.0.1", "http://page.example", false, null,
    ]);
    assert_eq!(peer.request("/info", json!({})).await, expected, "headers of an untrusted proxy are ignored");
}

#[tokio::test]
async fn forwarded_addresses_are_accepted_only_from_trusted_proxies() {
    let options =
        AcceptOptions { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..AcceptOptions::default() };
    let app = App::new()
        .with_accept_options(options)
        .on("/info", async |info: ConnectionInfo| Reply(json!([info.ip(), info.secure()])));
    let server = TestServer::start(app).await;
    for (list, ip) in [
        ("9.9.9.9", "9.9.9.9"),
        ("9.9.9.9, 127.0.0.2", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9, 127.0.0.2,127.0.0.3", "9.9.9.9"),
        ("6.6.6.6, nonsense, 127.0.0.2", "127.0.0.2"),
        ("9.9.9.9:1000", "9.9.9.9"),
        ("[2001:db8::1]:1000", "2001:db8::1"),
        ("\"[2001:db8::1]\", 127.0.0.2:44", "2001:db8::1"),
        ("nonsense", "127.0.0.1"),
    ] {
        let headers = [("x-forwarded-for", list), ("x-forwarded-proto", "https")];
        let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
        assert_eq!(peer.request("/info", json!({})).await, json!([ip, true]), "{list}");
    }
    let headers = [("forwarded", "for=\"[2001:db8::1]:1000\";proto=https, for=127.0.0.2")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/info", json!({})).await, json!(["2001:db8::1", true]));
    let headers = [("forwarded", "for=9.9.9.9"), ("x-forwarded-for", "6.6.6.6")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/info", json!({})).await, json!(["127.0.0.1", false]), "one of both is forged");
}

#[tokio::test]
async fn only_the_selected_header_of_trusted_proxies_is_read() {
    let options = AcceptOptions {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        forwarded_header: Some(ForwardedHeader::Forwarded),
        ..AcceptOptions::default()
    };
    let app = App::new()
        .with_accept_options(options)
        .on("/ip", async |info: ConnectionInfo| Reply(json!(info.ip())));
    let server = TestServer::start(app).await;
    let headers = [("forwarded", "for=9.9.9.9"), ("x-forwarded-for", "6.6.6.6")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/ip", json!({})).await, "9.9.9.9");
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
async fn an_invalid_app_panics_before_it_serves() {
    let app = App::new().on("/a", async |_: State<u64>| ());
    let added_at = format!("{}:{}", file!(), line!() - 1);
    let (missing, _) = panic_of(|| drop(app.into_service()));
    assert!(missing.contains("the handler of `/a`, added at "), "{missing}");
    assert!(missing.contains(&added_at) && missing.contains("takes State<u64>"), "{missing}");
}

/// The message and the place of a panic.
fn panic_of(call: impl FnOnce()) -> (String, String) {
    thread_local!(static PLACE: RefCell<String> = const { RefCell::new(String::new()) });
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| {
        PLACE.set(
            info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default(),
        );
    }));
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the call panics");
    std::panic::set_hook(earlier);
    let text = panic.downcast_ref::<String>().cloned();
    (text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap_or(&"").to_string()), PLACE.take())
}

#[test]
fn a_mistake_in_a_router_panics_at_the_line_of_the_application() {
    macro_rules! mistake {
        ($call:expr, $message:literal) => {
            let (message, place) = panic_of(|| drop($call));
            assert!(message.contains($message), "{message}");
            assert_eq!(place, format!("{}:{}", file!(), line!()), "{message}");
        };
    }
    let long = "é".repeat(129);
    let one = || Router::new().on("/a", echo);
    mistake!(App::new().on("", echo), "the name of an event is empty");
    mistake!(Router::new().on("", echo), "the name of an event is empty");
    mistake!(Koji::new().on("", echo), "the name of an event is empty");
    mistake!(App::new().ns("/chat", |chat| chat.on("", echo)), "the name of an event is empty");
    mistake!(App::new().on(&long, echo), "has 258 bytes");
    mistake!(App::new().nest(&"x".repeat(255), one()), "has 257 bytes");
    mistake!(App::new().on("@conection", echo), "`@conection` is not a system event");
    mistake!(Koji::new().on("@conection", echo), "`@conection` is not a system event");
    mistake!(App::new().nest("@game", one()), "names that begin with `@` are for system events");
    mistake!(App::new().on("/a", echo).on("/a", echo), "`/a` has two handlers");
    mistake!(App::new().merge(one()).merge(one()), "`/a` has two handlers");
    mistake!(App::new().ns("/b", |b| b.on("/a", echo)).on("/b/a", echo), "`/b/a` has two handlers");
    mistake!(App::new().with_state(1_u8).with_state(2_u8), "two states of type u8");
}

#[test]
fn the_panic_about_a_second_handler_names_the_place_of_the_first() {
    let app = App::new().on("/a", echo);
    let first = format!("{}:{}", file!(), line!() - 1);
    let (message, _) = panic_of(|| drop(app.merge(Router::new().on("/a", echo))));
    assert!(message.contains(&first), "{message}");
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
