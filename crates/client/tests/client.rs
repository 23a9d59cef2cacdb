//! The client against a real server, and against peers that misbehave.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::{App, Data, Payload, Reply, Request, serve};
use switchboard_client::{Client, ConnectError, EmitError, Options, RequestError};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

/// Longer than anything here takes, so that a hang is a failure.
const SOON: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A server that runs as long as the test.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn start(app: App) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move { serve(listener, app).await });
    url
}

/// Where a listener puts what it hears.
fn listen_to(client: &Client, event: &str) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(100);
    client.on(event, move |data: Payload| sender.try_send(data.to().unwrap()).unwrap());
    receiver
}

async fn next(receiver: &mut mpsc::Receiver<Value>) -> Value {
    tokio::time::timeout(SOON, receiver.recv()).await.expect("nothing came").expect("the client is there")
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
async fn requests_are_answered_each_with_its_own_reply() {
    let client = Client::connect(&start(App::new().on("/echo", echo)).await).await.unwrap();
    let replies = (0..100).map(|n| {
        let client = client.clone();
        async move { client.request::<u32>("/echo", &(n + 1)).await.unwrap() == n + 1 }
    });
    assert!(futures_util::future::join_all(replies).await.into_iter().all(|right| right));
}

#[tokio::test]
async fn a_refusal_is_told_from_a_reply() {
    let app = App::new().on("/add", async |Data((a, b)): Data<(i32, i32)>| Reply(a + b));
    let client = Client::connect(&start(app).await).await.unwrap();
    assert_eq!(client.request::<i32>("/add", &(1, 2)).await.unwrap(), 3);
    let refused = client.request::<i32>("/add", &"x").await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused { code, .. } if code == "bad_data"));
    let wrong = client.request::<String>("/add", &(1, 2)).await.unwrap_err();
    assert!(matches!(wrong, RequestError::Decode(_)));
}

#[tokio::test]
async fn a_request_without_a_reply_times_out_and_a_lost_connection_fails_it_at_once() {
    let app = App::new().on("/never", never).on("/drop", drop_me);
    let client = Client::connect(&start(app).await).await.unwrap();
    let short = client.request_within::<Value>(Duration::from_millis(50), "/never", &()).await;
    assert!(matches!(short, Err(RequestError::Timeout(_))));
    let mut gone = listen_to(&client, "@disconnect");
    let (lost, sent) = tokio::join!(client.request::<Value>("/never", &()), client.emit("/drop", &()));
    sent.unwrap();
    assert!(matches!(lost, Err(RequestError::Disconnected)));
    assert_eq!(next(&mut gone).await, json!({ "code": 4000, "reason": "dropped" }));
    assert!(!client.connected());
    assert!(matches!(client.emit("/x", &()).await, Err(EmitError::Disconnected)));
}

#[tokio::test]
async fn listeners_hear_in_order_until_they_are_undone() {
    let app = App::new().on("/count", async |request: Request| {
        for n in 1..=3 {
            request.emit("n", &n).unwrap();
        }
        Reply(true)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut any = listen_to(&client, "@any");
    let (sender, mut heard) = mpsc::channel(100);
    let subscription = client.on_data("n", move |n: u32| sender.try_send(n).unwrap());
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    let mut all = Vec::new();
    heard.recv_many(&mut all, 100).await;
    assert_eq!(all, [1, 2, 3]);
    subscription.off();
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    assert!(heard.try_recv().is_err());
    assert_eq!(next(&mut any).await, json!({ "event": "n", "data": 1 }));
}

#[tokio::test]
async fn a_listener_that_panics_is_reported_and_the_client_lives() {
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
async fn the_servers_requests_are_answered_while_others_wait() {
    let app = App::new().on("/ask", async |request: Request| {
        let answer: Value = request.socket().request("/double", &21).await.unwrap();
        Reply(answer)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    client.handle("/double", |data: Payload| async move { data.to::<u32>().ok().map(|n| n * 2) });
    assert_eq!(client.request::<u32>("/ask", &()).await.unwrap(), 42);
}

#[tokio::test]
async fn namespaces_put_their_prefix_in_front() {
    let app = App::new().on("/game/lobby/join", echo);
    let client = Client::connect(&start(app).await).await.unwrap();
    let lobby = client.ns("/game").ns("/lobby");
    assert_eq!(lobby.request::<u32>("/join", &1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_client_comes_back_and_sends_what_it_kept() {
    let app = App::new().on("/drop", drop_me).on("/keep", async |request: Request| {
        request.emit("kept", &request.data::<Value>().unwrap()).unwrap();
    });
    let options = Options::default()
        .with_reconnect(true)
        .with_reconnect_delay(Duration::from_millis(20))
        .with_queue_bytes_max(80);
    let client = Client::connect_with(&start(app).await, options).await.unwrap();
    let (mut gone, mut back) = (listen_to(&client, "@disconnect"), listen_to(&client, "@reconnect"));
    let mut kept = listen_to(&client, "kept");
    // The queue is filled by the listener: nothing can have come back before it returns.
    let (queue, results) = std::sync::mpsc::channel();
    let weak = client.clone();
    let filling = client.on("@disconnect", move |_| {
        queue.send((weak.try_emit("/keep", &1), weak.try_emit("/keep", &"x".repeat(100)))).unwrap();
    });
    client.emit("/drop", &()).await.unwrap();
    next(&mut gone).await;
    assert_eq!(next(&mut back).await["attempt"], 1);
    let (fits, does_not) = results.recv().unwrap();
    assert!(fits.is_ok());
    assert!(matches!(does_not, Err(EmitError::QueueFull(80))));
    assert_eq!(next(&mut kept).await, json!(1));
    filling.off();
}

#[tokio::test]
async fn frames_that_mean_nothing_are_reported_and_the_next_is_read() {
    let (listener, url) = listen().await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, mut peer) = ServerBuilder::new().accept(stream).await.unwrap();
        // The client is listening when it asks.
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
        let because = "frame is not a JSON object: EOF while parsing an object at line 1 column 1";
        assert_eq!(next(&mut errors).await["error"], because);
        for _ in 1..4 {
            assert!(next(&mut errors).await["error"].is_string());
        }
        assert!(errors.try_recv().is_err());
        client.close().await;
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_server_that_stays_silent_and_addresses_that_are_none_are_errors() {
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
async fn the_connection_closes_when_the_last_clone_is_dropped() {
    let (sender, mut gone) = mpsc::channel(1);
    let app = App::new().on("@disconnect", move |Data(end): Data<Value>| {
        let sender = sender.clone();
        async move { sender.try_send(end).unwrap() }
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    drop(client.clone());
    assert!(client.connected());
    drop(client);
    assert_eq!(next(&mut gone).await["code"], 1000);
}

/// A peer that does as it is told, for what a real server never does.
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
async fn a_number_that_no_double_holds_is_handed_on_as_it_came() {
    let url = scripted(async |mut peer| {
        peer.next().await.unwrap().unwrap();
        peer.send(Message::text(r#"{"event":"n","data":[1e400,12345678901234567890123]}"#)).await.unwrap();
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let (sender, mut heard) = mpsc::channel(10);
    for event in ["@any", "n"] {
        let sender = sender.clone();
        client.on(event, move |data: Payload| sender.try_send(data).unwrap());
    }
    client.emit("/ready", &()).await.unwrap();
    let mut next = async || tokio::time::timeout(SOON, heard.recv()).await.expect("nothing came").unwrap();
    let data = "[1e400,12345678901234567890123]";
    assert_eq!(format!("{:?}", next().await), format!(r#"{{"event":"n","data":{data}}}"#));
    assert_eq!(format!("{:?}", next().await), data);
    assert!(client.connected());
}

#[tokio::test]
async fn only_an_object_is_a_refusal() {
    let app = App::new().on("/pair", async || Reply(("ann", "bob")));
    let client = Client::connect(&start(app).await).await.unwrap();
    let pair: (String, String) = client.request("/pair", &()).await.unwrap();
    assert_eq!(pair, ("ann".into(), "bob".into()));
}

#[tokio::test]
async fn replies_may_come_in_any_order_and_twice() {
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
async fn an_answer_that_fails_is_reported_and_the_next_request_is_answered() {
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
    assert!(next(&mut errors).await["error"].as_str().unwrap().starts_with("the answer to /no-json"));
    assert_eq!(client.request::<u32>("/ask", &"/good").await.unwrap(), 7);
}

#[tokio::test]
async fn answers_that_never_come_are_bounded() {
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
    let (sender, mut answers) = mpsc::channel(1);
    let url = scripted(async move |mut peer| {
        let code = CloseCode::try_from(4000).unwrap();
        peer.send(Message::close(Some(code), "enough")).await.unwrap();
        let answer = peer.next().await.and_then(Result::ok).and_then(|answer| {
            let (code, _) = answer.as_close()?;
            Some(u16::from(code))
        });
        sender.send(json!(answer)).await.unwrap();
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    assert_eq!(next(&mut answers).await, 4000);
    client.ended().await;
}

#[tokio::test]
async fn a_peer_that_writes_all_before_it_reads_holds_nobody_up() {
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
    // Each for itself: all of them are as much as the machine can carry.
    for _ in 0..MESSAGES {
        let emit = tokio::time::timeout(SOON, client.emit("/big", &data));
        emit.await.expect("the client writes while it reads").unwrap();
    }
    assert_eq!(next(&mut read).await, "all");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn a_secure_address_is_refused_rather_than_spoken_in_the_clear() {
    let (_listener, url) = listen().await;
    let secure = url.replace("ws://", "wss://");
    let options = Options::default().with_connect_timeout(Duration::from_millis(50));
    assert!(matches!(Client::connect_with(&secure, options).await, Err(ConnectError::Tls)));
}

#[tokio::test]
async fn close_waits_until_all_is_sent_and_the_server_has_answered() {
    let (sender, mut read) = mpsc::channel(200);
    let url = scripted(async move |mut peer| {
        while let Some(Ok(message)) = peer.next().await {
            sender.send(json!(message.as_text())).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let mut gone = listen_to(&client, "@disconnect");
    for n in 0..100 {
        client.emit("/n", &n).await.unwrap();
    }
    client.close().await;
    assert_eq!(gone.try_recv().unwrap()["code"], 1000);
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
    for n in 0..100 {
        assert_eq!(next(&mut read).await, format!(r#"{{"event":"/n","data":{n}}}"#));
    }
}

/// A client of a server that has stopped reading, when nobody takes any more. From there on the
/// clock runs as fast as nothing happens.
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
async fn a_close_that_the_server_does_not_read_is_cut_in_time() {
    let client = stuck_client().await;
    let mut gone = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close is cut");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(gone.try_recv().unwrap(), json!({ "code": 1006, "reason": "" }));
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
}

#[tokio::test]
async fn a_client_that_is_dropped_over_a_server_that_does_not_read_is_cut_in_time() {
    let client = stuck_client().await;
    let mut gone = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    drop(client);
    assert_eq!(next(&mut gone).await["code"], 1006);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_close_that_the_server_does_not_answer_is_cut_in_time() {
    let (sender, mut read) = mpsc::channel(1);
    let url = scripted(async move |peer| {
        let mut stream = peer.into_inner();
        let mut bytes = [0; 1024];
        let len = stream.read(&mut bytes).await.unwrap();
        // A close frame, masked, with 1000 or nothing in it.
        sender.send(json!(bytes[0] == 0x88 && len <= 8)).await.unwrap();
        std::future::pending().await
    })
    .await;
    let options = Options::default().with_close_timeout(Duration::from_secs(3));
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut gone = listen_to(&client, "@disconnect");
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close is cut");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(gone.try_recv().unwrap()["code"], 1006);
    assert_eq!(next(&mut read).await, true);
}
