//! To original servers: what they are told, and what is left in their keys.

use serde_json::json;
use switchboard_dispatcher::{Audience, DispatchError, Dispatcher, DispatcherOptions, Message, Target};
use switchboard_testkit::{RedisServer, soon};

/// What an original server would hear on its channel, and ask Redis.
struct Original {
    connection: redis::aio::MultiplexedConnection,
    heard: tokio::sync::mpsc::Receiver<String>,
}

impl Original {
    async fn new(server: &RedisServer) -> Self {
        let (say, heard) = tokio::sync::mpsc::channel(64);
        let on_push = move |push: redis::PushInfo| {
            if let (redis::PushKind::Message, Some(redis::Value::BulkString(text))) =
                (push.kind, push.data.into_iter().nth(1))
            {
                say.try_send(String::from_utf8(text).unwrap()).unwrap();
            }
            Ok::<(), ()>(())
        };
        let client = redis::Client::open(format!("{}?protocol=resp3", server.url())).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(on_push);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        connection.subscribe("ws_api").await.unwrap();
        Original { connection, heard }
    }

    async fn hears(&mut self) -> serde_json::Value {
        let text = soon("it is heard", self.heard.recv()).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query_async(&mut self.connection).await.unwrap()
    }
}

async fn dispatcher(server: &RedisServer, sync: bool) -> Dispatcher {
    let options = DispatcherOptions {
        namespace: Some("api".into()),
        sync,
        originals: true,
        ..DispatcherOptions::new(&server.url())
    };
    Dispatcher::with_options(options).await.unwrap()
}

fn message(json: &str) -> Message {
    Message::parse(0, json, "SAID").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn originals_are_told_as_by_an_original() {
    let server = RedisServer::start().await;
    let mut original = Original::new(&server).await;
    let dispatcher = dispatcher(&server, false).await;
    let sent = dispatcher.dispatch_except(&message("{\"n\":1}"), &["1", "2", "1\"", "1"], &["2"]).await;
    assert_eq!(sent.unwrap().inboxes, None);
    let said = json!({ "op": 0, "d": { "n": 1 }, "t": "SAID" });
    assert_eq!(original.hears().await, json!({ "message": said, "recipients": ["1", "1\""] }));
    dispatcher.dispatch(&message("{\"n\":1}"), &["*"]).await.unwrap();
    assert_eq!(original.hears().await, json!({ "message": said, "recipients": ["*"] }));
    dispatcher.disconnect(&["1"]).await.unwrap();
    let close = json!({ "op": 5, "d": {}, "t": "DISCONNECT_CLIENT" });
    assert_eq!(original.hears().await, json!({ "message": close, "recipients": ["1"] }));

    let refused = dispatcher.close_sockets(Target::user("1").unwrap(), 4003, "").await;
    assert!(matches!(refused, Err(DispatchError::OriginalsClose)), "{refused:?}");
    for audience in [
        Audience::everyone().except(Target::user("1").unwrap()),
        Target::room("lobby").unwrap().into(),
        Audience::from(Target::user("1").unwrap()).except(Target::room("lobby").unwrap()),
    ] {
        let refused = dispatcher.send(&message("1"), audience).await;
        assert!(matches!(refused, Err(DispatchError::Originals(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_originals_would_lose_waits_where_they_look() {
    let server = RedisServer::start().await;
    let mut original = Original::new(&server).await;
    let _: i64 = original.ask(&["SADD", "connected_clients_api", "1"]).await;
    let _: i64 = original.ask(&["HSET", "undelivered_messages_api", "odd", "not a list"]).await;
    let dispatcher = dispatcher(&server, true).await;
    let (one, two) = (message("[1e400]"), message("2"));
    // All at once: an original keeps only the last of these.
    let sent = tokio::join!(
        dispatcher.dispatch(&one, &["1", "2", "odd"]),
        dispatcher.dispatch(&two, &["2"]),
        dispatcher.dispatch(&two, &["2"])
    );
    assert_eq!((sent.0.unwrap().inboxes, sent.1.unwrap().inboxes), (Some(2), Some(1)));
    let heard = soon("it is heard", original.heard.recv()).await.unwrap();
    assert_eq!(heard, r#"{"message":{"op":0,"d":[1e400],"t":"SAID"},"recipients":["1"]}"#);
    let kept: String = original.ask(&["HGET", "undelivered_messages_api", "2"]).await;
    let (first, other) = (r#"{"op":0,"d":[1e400],"t":"SAID"}"#, r#"{"op":0,"d":2,"t":"SAID"}"#);
    assert_eq!(kept, format!("[{first},{other},{other}]"));
    let odd: String = original.ask(&["HGET", "undelivered_messages_api", "odd"]).await;
    assert_eq!(odd, format!("[{first}]"));

    let sent = dispatcher.dispatch(&two.clone().without_sync(), &["2"]).await.unwrap();
    assert_eq!(sent.inboxes, None);
    assert_eq!(original.hears().await["message"]["o"], json!({ "sync": false }));
    let again: String = original.ask(&["HGET", "undelivered_messages_api", "2"]).await;
    assert_eq!(again, kept);
}
