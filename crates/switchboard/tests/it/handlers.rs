//! Handlers, extractors, replies, errors, and the order of frames.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{
    AcceptOptions, App, ConnectionInfo, Data, ForwardedHeader, Payload, Plugin, Reply, ReplyError, Request,
    Socket, State, User,
};
use switchboard_testkit::{Peer, TestServer, soon};
use tokio::sync::{Notify, mpsc};

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
    let panic_message = |app: App| {
        let panic =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| app.into_service())).err().unwrap();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    assert!(panic_message(App::new().on("/a", echo).on("/a", echo)).contains("`/a` has two handlers"));
    let missing = panic_message(App::new().on("/a", async |_: State<u64>| ()));
    assert!(missing.contains("`/a` takes State<u64>"), "{missing}");
}

#[tokio::test]
#[should_panic(expected = "`@conection` is not a system event")]
async fn an_unknown_system_event_is_refused() {
    let _ = App::new().on("@conection", echo);
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
