//! The client against a real server, and against scripted peers that violate the protocol.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::{App, Data, HistoryLimits, Payload, Reply, Request, Resuming, Socket, serve};
use switchboard_client::{
    Client, ConnectError, EmitError, HistoryPart, NO_HANDLER, Options, Position, RequestError,
};
use switchboard_testkit::Forwarder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

/// A time-out that turns a hang into a failure.
const SOON: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Starts a server that runs until the end of the test.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn start(app: App) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move { serve(listener, app).await });
    url
}

/// Registers a listener and returns the channel of its events.
fn listen_to(client: &Client, event: &str) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(100);
    client.on(event, move |data: Payload| sender.try_send(data.to().unwrap()).unwrap());
    receiver
}

async fn next(receiver: &mut mpsc::Receiver<Value>) -> Value {
    tokio::time::timeout(SOON, receiver.recv()).await.expect("no event in time").expect("the client exists")
}

async fn echo(Data(data): Data<Value>) -> Reply<Value> {
    Reply(data)
}

async fn never() {
    std::future::pending().await
}

async fn drop_me(request: Request) {
    request.socket().close(4000, "dropped");
}

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
async fn listeners_are_called_in_order_until_they_are_removed() {
    let app = App::new().on("/count", async |request: Request| {
        for n in 1..=3 {
            request.emit("n", &n).unwrap();
        }
        Reply(true)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut any = listen_to(&client, "@any");
    let (sender, mut received) = mpsc::channel(100);
    let subscription = client.on_data("n", move |n: u32| sender.try_send(n).unwrap());
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    let mut all = Vec::new();
    received.recv_many(&mut all, 100).await;
    assert_eq!(all, [1, 2, 3]);
    subscription.off();
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    assert!(received.try_recv().is_err());
    assert_eq!(next(&mut any).await, json!({ "event": "n", "data": 1 }));
}

#[tokio::test]
async fn a_panic_of_a_listener_is_reported_and_the_client_continues() {
    let app =
        App::new().on("/echo", echo).on("/bad", async |request: Request| request.emit("bad", &1).unwrap());
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut errors = listen_to(&client, "@error");
    client.on("bad", |_| panic!("on purpose"));
    client.emit("/bad", &()).await.unwrap();
    assert_eq!(next(&mut errors).await, json!({ "error": "a listener of bad panicked" }));
    assert_eq!(client.request::<u32>("/echo", &5).await.unwrap(), 5);
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
async fn a_client_reconnects_and_sends_its_offline_queue() {
    let app = App::new().on("/drop", drop_me).on("/queue", async |request: Request| {
        request.emit("queued", &request.data::<Value>().unwrap()).unwrap();
    });
    let options = Options::default()
        .with_reconnect(true)
        .with_reconnect_delay(Duration::from_millis(20))
        .with_queue_bytes_max(80);
    let client = Client::connect_with(&start(app).await, options).await.unwrap();
    let (mut disconnects, mut reconnects) =
        (listen_to(&client, "@disconnect"), listen_to(&client, "@reconnect"));
    let mut queued = listen_to(&client, "queued");
    // Filling the queue in the listener guarantees that the client has not reconnected yet.
    let (sender, results) = std::sync::mpsc::channel();
    let emitter = client.clone();
    let subscription = client.on("@disconnect", move |_| {
        sender.send((emitter.try_emit("/queue", &1), emitter.try_emit("/queue", &"x".repeat(100)))).unwrap();
    });
    client.emit("/drop", &()).await.unwrap();
    next(&mut disconnects).await;
    assert_eq!(next(&mut reconnects).await["attempt"], 1);
    let (first, second) = results.recv().unwrap();
    assert!(first.is_ok());
    assert!(matches!(second, Err(EmitError::QueueFull(80))));
    assert_eq!(next(&mut queued).await, json!(1));
    subscription.off();
}

/// A client behind a network that can be cut.
async fn connect_through(app: App, options: Options) -> (Client, Forwarder, App) {
    let server = start(app.clone()).await;
    let port = server.rsplit(':').next().unwrap().parse().unwrap();
    let network = Forwarder::start(port).await;
    let address = format!("ws://127.0.0.1:{}/?a=1", network.port());
    let options = options.with_reconnect(true).with_reconnect_delay(Duration::from_millis(20));
    (Client::connect_with(&address, options).await.unwrap(), network, app)
}

#[tokio::test]
async fn a_client_resumes_its_session_with_its_rooms_and_sends_its_queue_afterwards() {
    let app = App::new()
        .on("/join", async |socket: Socket| Reply(socket.join("#r").unwrap()))
        .on("/rooms", async |socket: Socket| Reply((socket.id(), socket.rooms())))
        .with_room_history("r", HistoryLimits::default())
        .on("/queued", async |socket: Socket| {
            socket.emit("rooms", &socket.rooms()).unwrap();
        })
        .with_resume(Resuming::default());
    let options = Options::default().with_queue_bytes_max(100);
    let (client, network, app) = connect_through(app, options).await;
    let (mut reconnects, mut news) = (listen_to(&client, "@reconnect"), listen_to(&client, "news"));
    let (mut rooms, mut recovered) = (listen_to(&client, "rooms"), listen_to(&client, "@recovered"));
    let emitter = client.clone();
    client.on("@disconnect", move |_| emitter.try_emit("/queued", &()).unwrap());
    assert!(client.request::<bool>("/join", &()).await.unwrap());
    let before: Value = client.request("/rooms", &()).await.unwrap();
    for _ in 0..3 {
        network.cut();
        assert_eq!(next(&mut reconnects).await["resumed"], true);
        assert_eq!(next(&mut rooms).await, json!(["#r"]));
        assert_eq!(client.request::<Value>("/rooms", &()).await.unwrap(), before);
        app.to("#r").emit("news", &1).unwrap();
        assert_eq!(next(&mut news).await, 1);
    }
    network.cut();
    (2..5).for_each(|n| drop(app.to("#r").emit("news", &n)));
    for _ in 0..4 {
        assert_eq!(next(&mut recovered).await["rooms"]["#r"]["recovered"], true);
    }
    for n in 2..5 {
        assert_eq!(next(&mut news).await, n);
    }
}

#[tokio::test]
async fn a_client_gets_a_new_session_where_none_is_kept_or_it_does_not_want_the_old_one() {
    let app = || App::new().on("/id", async |socket: Socket| Reply(socket.id()));
    let keeping = || app().with_resume(Resuming::default());
    for (app, options) in [(app(), Options::default()), (keeping(), Options::default().with_resume(false))] {
        let (client, network, _app) = connect_through(app, options).await;
        let mut reconnects = listen_to(&client, "@reconnect");
        let before: Value = client.request("/id", &()).await.unwrap();
        network.cut();
        assert_eq!(next(&mut reconnects).await["resumed"], false);
        assert_ne!(client.request::<Value>("/id", &()).await.unwrap(), before);
    }
}

#[tokio::test]
async fn invalid_frames_are_reported_and_skipped() {
    let (listener, url) = listen().await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, mut peer) = ServerBuilder::new().accept(stream).await.unwrap();
        // The client has registered its listeners when it emits.
        peer.next().await.unwrap().unwrap();
        for text in ["{", "[]", "{\"data\":1}", "{\"event\":\"@error\"}", "{\"event\":\"good\",\"data\":1}"] {
            peer.send(Message::text(text)).await.unwrap();
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    };
    let client = async {
        let client = Client::connect(&url).await.unwrap();
        let (mut errors, mut good) = (listen_to(&client, "@error"), listen_to(&client, "good"));
        client.emit("/ready", &()).await.unwrap();
        assert_eq!(next(&mut good).await, json!(1));
        let expected = "frame is not a JSON object: EOF while parsing an object at line 1 column 1";
        assert_eq!(next(&mut errors).await["error"], expected);
        for _ in 1..4 {
            assert!(next(&mut errors).await["error"].is_string());
        }
        assert!(errors.try_recv().is_err());
        client.close().await;
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn connecting_fails_for_a_silent_server_an_invalid_address_or_header_and_a_closed_port() {
    let (_silent, url) = listen().await;
    let options = Options::default().with_connect_timeout(Duration::from_millis(50));
    assert!(matches!(Client::connect_with(&url, options).await, Err(ConnectError::Timeout(_))));
    for bad in ["", "localhost:3000", "http://localhost", "ws://", "not an address"] {
        assert!(matches!(Client::connect(bad).await, Err(ConnectError::Address(_))), "{bad}");
    }
    let header = Options::default().with_header("bad name", "x");
    assert!(matches!(Client::connect_with(&url, header).await, Err(ConnectError::Header(_))));
    let (closed, url) = listen().await;
    drop(closed);
    assert!(matches!(Client::connect(&url).await, Err(ConnectError::Failed(_))));
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_is_an_error_with_its_status_and_a_hint() {
    let (listener, url) = listen().await;
    let server = async {
        for status in ["404 Not Found", "400 Bad Request", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let client = async {
        for hint in ["404; check the path", "400; if the port is encrypted", "200; there may be no"] {
            let error = Client::connect(&url).await.err().unwrap();
            assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    };
    tokio::time::timeout(SOON, async { tokio::join!(server, client) }).await.unwrap();
}

#[tokio::test]
async fn the_connection_closes_when_the_last_clone_is_dropped() {
    let (sender, mut disconnects) = mpsc::channel(1);
    let app = App::new().on("@disconnect", move |Data(end): Data<Value>| {
        let sender = sender.clone();
        async move { sender.try_send(end).unwrap() }
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    drop(client.clone());
    assert!(client.connected());
    drop(client);
    assert_eq!(next(&mut disconnects).await["code"], 1000);
}

/// A peer that runs a script, for behaviour that a real server does not show.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn scripted<Fut>(script: impl FnOnce(WebSocketStream<TcpStream>) -> Fut + Send + 'static) -> String
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, peer) = ServerBuilder::new().accept(stream).await.unwrap();
        script(peer).await;
    });
    url
}

#[tokio::test]
async fn numbers_beyond_double_precision_are_delivered_unchanged() {
    let url = scripted(async |mut peer| {
        peer.next().await.unwrap().unwrap();
        peer.send(Message::text(r#"{"event":"n","data":[1e400,12345678901234567890123]}"#)).await.unwrap();
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let (sender, mut received) = mpsc::channel(10);
    for event in ["@any", "n"] {
        let sender = sender.clone();
        client.on(event, move |data: Payload| sender.try_send(data).unwrap());
    }
    client.emit("/ready", &()).await.unwrap();
    let mut next =
        async || tokio::time::timeout(SOON, received.recv()).await.expect("no event in time").unwrap();
    let data = "[1e400,12345678901234567890123]";
    assert_eq!(format!("{:?}", next().await), format!(r#"{{"event":"n","data":{data}}}"#));
    assert_eq!(format!("{:?}", next().await), data);
    assert!(client.connected());
}

#[tokio::test]
async fn a_server_that_never_completes_a_message_is_disconnected() {
    let fragments = [&b"\x01\x01{"[..], &[0; 1000]].concat();
    for bytes in [b"\x89\x00".repeat(500), b"\x8a\x7d".iter().copied().chain([0; 125]).collect(), fragments] {
        let url = scripted(async move |mut peer| {
            while peer.get_mut().write_all(&bytes).await.is_ok() {
                // The first fragment begins a message once.
                if bytes[0] == 1 {
                    while peer.get_mut().write_all(&bytes[3..]).await.is_ok() {}
                }
            }
        })
        .await;
        let options = Options::default().with_message_bytes_max(100_000);
        let client = Client::connect_with(&url, options).await.unwrap();
        tokio::time::timeout(SOON, client.ended()).await.expect("the client gives up");
    }
}

#[tokio::test]
async fn a_large_message_in_fragments_is_delivered() {
    let text = format!(r#"{{"event":"big","data":"{}"}}"#, "x".repeat(100_000));
    let url = scripted(async move |mut peer| {
        peer.next().await.unwrap().unwrap();
        for round in 0..5 {
            for (n, piece) in text.as_bytes().chunks(100).enumerate() {
                let (first, last) = (n == 0, 100 * (n + 1) >= text.len());
                let head = [u8::from(first) | if last { 0x80 } else { 0 }, piece.len() as u8];
                let frames = [&head[..], piece, b"\x89\x00"].concat();
                peer.get_mut().write_all(&frames).await.unwrap_or_else(|error| panic!("{round}: {error}"));
            }
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let options = Options::default().with_message_bytes_max(110_000);
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut received = listen_to(&client, "big");
    client.emit("/ready", &()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(next(&mut received).await.as_str().unwrap().len(), 100_000);
    }
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
async fn a_close_frame_is_answered() {
    let (sender, mut codes) = mpsc::channel(1);
    let url = scripted(async move |mut peer| {
        let code = CloseCode::try_from(4000).unwrap();
        peer.send(Message::close(Some(code), "enough")).await.unwrap();
        let code = peer.next().await.and_then(Result::ok).and_then(|frame| {
            let (code, _) = frame.as_close()?;
            Some(u16::from(code))
        });
        sender.send(json!(code)).await.unwrap();
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    assert_eq!(next(&mut codes).await, 4000);
    client.ended().await;
}

#[tokio::test]
async fn a_peer_that_writes_everything_before_it_reads_does_not_block_the_client() {
    const MESSAGES: usize = 512;
    let (sender, mut read) = mpsc::channel(1);
    let url = scripted(async move |mut peer| {
        let text = format!(r#"{{"event":"big","data":"{}"}}"#, "x".repeat(64 * 1024));
        for _ in 0..MESSAGES {
            peer.send(Message::text(text.clone())).await.unwrap();
        }
        for _ in 0..MESSAGES {
            peer.next().await.unwrap().unwrap();
        }
        sender.send(json!("all")).await.unwrap();
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let data = "x".repeat(64 * 1024);
    // One time-out per message, since the total depends on the speed of the machine.
    for _ in 0..MESSAGES {
        let emit = tokio::time::timeout(SOON, client.emit("/big", &data));
        emit.await.expect("the client writes while it reads").unwrap();
    }
    assert_eq!(next(&mut read).await, "all");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_tls_feature_a_wss_address_is_refused() {
    let (_listener, url) = listen().await;
    let secure = url.replace("ws://", "wss://");
    let options = Options::default().with_connect_timeout(Duration::from_millis(50));
    assert!(matches!(Client::connect_with(&secure, options).await, Err(ConnectError::Tls)));
}

#[tokio::test]
async fn close_waits_for_unsent_frames_and_the_close_frame_of_the_server() {
    let (sender, mut read) = mpsc::channel(200);
    let url = scripted(async move |mut peer| {
        while let Some(Ok(message)) = peer.next().await {
            sender.send(json!(message.as_text())).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let mut disconnects = listen_to(&client, "@disconnect");
    for n in 0..100 {
        client.emit("/n", &n).await.unwrap();
    }
    client.close().await;
    assert_eq!(disconnects.try_recv().unwrap()["code"], 1000);
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
    for n in 0..100 {
        assert_eq!(next(&mut read).await, format!(r#"{{"event":"/n","data":{n}}}"#));
    }
}

/// A client whose buffers are full because the server has stopped reading. The clock is paused from then on.
async fn stuck_client() -> Client {
    let url = scripted(async |peer| {
        let _open = peer;
        std::future::pending().await
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    tokio::time::pause();
    let data = "x".repeat(64 * 1024);
    while tokio::time::timeout(SOON, client.emit("/big", &data)).await.is_ok() {}
    assert!(matches!(client.try_emit("/big", &data), Err(EmitError::Busy)));
    client
}

#[tokio::test]
async fn close_ends_after_its_timeout_if_the_server_does_not_read() {
    let client = stuck_client().await;
    let mut disconnects = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close times out");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(disconnects.try_recv().unwrap(), json!({ "code": 1006, "reason": "" }));
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
}

#[tokio::test]
async fn a_dropped_client_ends_after_the_close_timeout_if_the_server_does_not_read() {
    let client = stuck_client().await;
    let mut disconnects = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    drop(client);
    assert_eq!(next(&mut disconnects).await["code"], 1006);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn close_ends_after_its_timeout_if_the_server_sends_no_close_frame() {
    let (sender, mut read) = mpsc::channel(1);
    let url = scripted(async move |peer| {
        let mut stream = peer.into_inner();
        let mut bytes = [0; 1024];
        let len = stream.read(&mut bytes).await.unwrap();
        // A masked close frame with code 1000 or without a code.
        sender.send(json!(bytes[0] == 0x88 && len <= 8)).await.unwrap();
        std::future::pending().await
    })
    .await;
    let options = Options::default().with_close_timeout(Duration::from_secs(3));
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut disconnects = listen_to(&client, "@disconnect");
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close times out");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(disconnects.try_recv().unwrap()["code"], 1006);
    assert_eq!(next(&mut read).await, true);
}

/// A JSON Web Token that is not signed: the test's verifier reads the user only.
fn token(user: &str, seconds: u64) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    format!("{}.{}.x", encode("{}"), encode(&json!({ "sub": user, "exp": now + seconds }).to_string()))
}

async fn verify(token: String) -> Result<switchboard::Identity, String> {
    use base64::Engine;
    let claims = token.split('.').nth(1).ok_or("no token")?;
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).map_err(|e| e.to_string())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|e| e.to_string())?;
    let user =
        switchboard::UserId::new(claims["sub"].as_str().ok_or("no user")?).map_err(|e| e.to_string())?;
    Ok(switchboard::Identity::new(user))
}

#[tokio::test]
async fn a_token_logs_the_client_in_and_is_replaced_on_the_open_connection_before_it_expires() {
    let whoami = async |socket: switchboard::Socket| Reply(socket.user().map(|user| user.to_string()));
    let (sender, mut logins) = mpsc::channel(10);
    let hook = move |request: Request| {
        let sender = sender.clone();
        async move { sender.try_send(request.data::<Value>().unwrap()["user"].clone()).unwrap() }
    };
    let url = start(App::new().on("/whoami", whoami).on("@authenticated", hook).with_verifier(verify)).await;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let source = {
        let calls = calls.clone();
        move || {
            let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            // The second one does not expire soon.
            async move { Ok::<_, String>(token(&format!("user-{number}"), if number == 1 { 2 } else { 3600 })) }
        }
    };
    let client = Client::connect_with(&url, Options::default().with_token_source(source)).await.unwrap();
    assert_eq!(client.request::<String>("/whoami", &()).await.unwrap(), "user-1");
    assert_eq!(next(&mut logins).await, "user-1");
    assert_eq!(next(&mut logins).await, "user-2", "on the same connection");
    assert_eq!(client.request::<String>("/whoami", &()).await.unwrap(), "user-2");
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_source_that_fails_or_gives_no_header_fails_the_connect() {
    let url = start(App::new()).await;
    let options = Options::default().with_token_source(async || Err::<String, _>("no login"));
    let error = Client::connect_with(&url, options).await.err();
    assert!(matches!(error, Some(ConnectError::Token(_))), "{error:?}");
    let options = Options::default().with_token_source(async || Ok::<_, String>("a\nb".into()));
    let error = Client::connect_with(&url, options).await.err();
    assert!(matches!(error, Some(ConnectError::Token(_))), "{error:?}");
}
