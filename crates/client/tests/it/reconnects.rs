//! Reconnecting, with a new session or the old one.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, HistoryLimits, Reply, Request, Resuming, Socket};
use switchboard_client::{Client, EmitError, HistoryPart, Options, RequestError};
use switchboard_testkit::{Forwarder, soon};

use crate::{drop_me, listen_to, next, start};

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
async fn an_idempotent_request_is_sent_again_after_a_reconnect_and_others_fail() {
    let (calls, mut called) = tokio::sync::mpsc::channel(8);
    let first = std::sync::atomic::AtomicBool::new(true);
    let first = std::sync::Arc::new(first);
    let app = App::new().with_resume(Resuming::default()).on("/slow", move |Data(name): Data<String>| {
        let (calls, first) = (calls.clone(), first.clone());
        async move {
            calls.try_send(name.clone()).unwrap();
            // The replies to the first requests are lost with their connection.
            if first.load(std::sync::atomic::Ordering::SeqCst) {
                if name == "once" {
                    first.store(false, std::sync::atomic::Ordering::SeqCst);
                }
                std::future::pending::<()>().await;
            }
            Reply(name)
        }
    });
    let (client, network, _app) = connect_through(app, Options::default()).await;
    let repeated = client.request_idempotent::<String>("/slow", "again");
    let once = client.request::<String>("/slow", "once");
    let cut = async {
        for name in ["again", "once"] {
            assert_eq!(called.recv().await.unwrap(), name);
        }
        network.cut();
    };
    let (repeated, once, ()) = soon("both end", async { tokio::join!(repeated, once, cut) }).await;
    assert_eq!(repeated.unwrap(), "again");
    assert!(matches!(once, Err(RequestError::Disconnected)), "{once:?}");
    assert_eq!(called.recv().await.unwrap(), "again");
    assert!(called.try_recv().is_err());
}

/// An app with the room `r`, which keeps messages and is joined by `/join`.
fn app_with_a_room_that_keeps_messages() -> App {
    App::new()
        .on("/join", async |socket: Socket| Reply(socket.join("#r").unwrap()))
        .with_room_history("r", HistoryLimits::default())
        .with_resume(Resuming::default())
}

#[tokio::test]
async fn a_member_that_has_read_the_history_recovers_also_if_no_message_has_arrived() {
    let app = app_with_a_room_that_keeps_messages();
    let (client, network, app) = connect_through(app, Options::default()).await;
    let (mut recovered, mut news) = (listen_to(&client, "@recovered"), listen_to(&client, "news"));
    app.to("#r").emit("news", &1).unwrap();
    assert!(client.request::<bool>("/join", &()).await.unwrap());
    assert_eq!(client.history("r", HistoryPart::Latest, 10).await.unwrap().top, 1);
    network.cut();
    app.to("#r").emit("news", &2).unwrap();
    assert_eq!(next(&mut recovered).await["rooms"]["#r"], json!({ "recovered": true, "count": 1 }));
    assert_eq!(next(&mut news).await, 2);
}

#[tokio::test]
async fn a_member_that_has_received_nothing_since_its_join_recovers() {
    let app = app_with_a_room_that_keeps_messages();
    let (client, network, app) = connect_through(app, Options::default()).await;
    let (mut recovered, mut news) = (listen_to(&client, "@recovered"), listen_to(&client, "news"));
    app.to("#r").emit("news", &1).unwrap();
    let mut joined = listen_to(&client, "@joined");
    assert!(client.request::<bool>("/join", &()).await.unwrap());
    let joined = next(&mut joined).await;
    assert_eq!((&joined["room"], &joined["position"]["offset"]), (&json!("#r"), &json!(1)));
    network.cut();
    app.to("#r").emit("news", &2).unwrap();
    assert_eq!(next(&mut recovered).await["rooms"]["#r"], json!({ "recovered": true, "count": 1 }));
    assert_eq!(next(&mut news).await, 2);
}

#[tokio::test]
async fn another_epoch_of_a_room_is_a_gap() {
    let app = app_with_a_room_that_keeps_messages();
    let (client, _network, app) = connect_through(app, Options::default()).await;
    let (mut gaps, mut news) = (listen_to(&client, "@gap"), listen_to(&client, "news"));
    assert!(client.request::<bool>("/join", &()).await.unwrap());
    app.to("#r").emit("news", &1).unwrap();
    assert_eq!(next(&mut news).await, 1);
    app.clear_room_history("#r").await.unwrap();
    app.to("#r").emit("news", &2).unwrap();
    assert_eq!(next(&mut gaps).await, json!({ "room": "#r" }));
    assert_eq!(next(&mut news).await, 2);
}
