//! Dispatching to legacy servers: the messages on their channel and the contents of their keys.

use serde_json::json;
use switchboard_dispatcher::{Audience, DispatchError, Dispatcher, DispatcherOptions, Message, Target};
use switchboard_testkit::{RedisServer, soon};

/// Receives on the channel of legacy servers and reads their keys.
struct LegacyServer {
    connection: redis::aio::MultiplexedConnection,
    received: tokio::sync::mpsc::Receiver<String>,
}

impl LegacyServer {
    async fn new(server: &RedisServer) -> Self {
        let (sender, received) = tokio::sync::mpsc::channel(64);
        let on_push = move |push: redis::PushInfo| {
            if let (redis::PushKind::Message, Some(redis::Value::BulkString(text))) =
                (push.kind, push.data.into_iter().nth(1))
            {
                sender.try_send(String::from_utf8(text).unwrap()).unwrap();
            }
            Ok::<(), ()>(())
        };
        let client = redis::Client::open(format!("{}?protocol=resp3", server.url())).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(on_push);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        connection.subscribe("ws_api").await.unwrap();
        LegacyServer { connection, received }
    }

    async fn next(&mut self) -> serde_json::Value {
        let text = soon("a published message", self.received.recv()).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn query<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connection).await.unwrap()
    }
}

async fn dispatcher(server: &RedisServer, sync: bool) -> Dispatcher {
    let options = DispatcherOptions {
        namespace: Some("api".into()),
        sync,
        legacy: true,
        ..DispatcherOptions::new(&server.url())
    };
    Dispatcher::with_options(options).await.unwrap()
}

fn message(json: &str) -> Message {
    Message::parse(0, json, "CHAT").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_published_in_the_legacy_format_and_unsupported_targets_are_refused() {
    let server = RedisServer::start().await;
    let mut legacy = LegacyServer::new(&server).await;
    let dispatcher = dispatcher(&server, false).await;
    let sent = dispatcher.dispatch_except(&message("{\"n\":1}"), &["1", "2", "1\"", "1"], &["2"]).await;
    assert_eq!(sent.unwrap().inboxes, None);
    let chat = json!({ "op": 0, "d": { "n": 1 }, "t": "CHAT" });
    assert_eq!(legacy.next().await, json!({ "message": chat, "recipients": ["1", "1\""] }));
    dispatcher.dispatch(&message("{\"n\":1}"), &["*"]).await.unwrap();
    assert_eq!(legacy.next().await, json!({ "message": chat, "recipients": ["*"] }));
    dispatcher.dispatch_except(&message("{\"n\":1}"), &["*"], &["1", "\""]).await.unwrap();
    let to_others = json!({ "message": chat, "recipients": ["*"], "excluding": ["1", "\""] });
    assert_eq!(legacy.next().await, to_others);
    dispatcher.disconnect(&["1"]).await.unwrap();
    let close = json!({ "op": 5, "d": {}, "t": "DISCONNECT_CLIENT" });
    assert_eq!(legacy.next().await, json!({ "message": close, "recipients": ["1"] }));

    let refused = dispatcher.close_sockets(Target::user("1").unwrap(), 4003, "").await;
    assert!(matches!(refused, Err(DispatchError::LegacyClose)), "{refused:?}");
    for audience in [
        Audience::everyone().except(Target::room("lobby").unwrap()),
        Target::room("lobby").unwrap().into(),
        Audience::from(Target::user("1").unwrap()).except(Target::room("lobby").unwrap()),
    ] {
        let refused = dispatcher.send(&message("1"), audience).await;
        assert!(matches!(refused, Err(DispatchError::LegacyTarget(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_messages_to_an_offline_user_are_all_stored_in_the_legacy_key() {
    let server = RedisServer::start().await;
    let mut legacy = LegacyServer::new(&server).await;
    let _: i64 = legacy.query(&["SADD", "connected_clients_api", "1"]).await;
    let _: i64 = legacy.query(&["HSET", "undelivered_messages_api", "odd", "not a list"]).await;
    let dispatcher = dispatcher(&server, true).await;
    let (one, two) = (message("[1e400]"), message("2"));
    // Concurrent dispatches, of which the legacy Dispatcher keeps only the last.
    let sent = tokio::join!(
        dispatcher.dispatch(&one, &["1", "2", "odd"]),
        dispatcher.dispatch(&two, &["2"]),
        dispatcher.dispatch(&two, &["2"])
    );
    assert_eq!((sent.0.unwrap().inboxes, sent.1.unwrap().inboxes), (Some(2), Some(1)));
    let published = soon("a published message", legacy.received.recv()).await.unwrap();
    assert_eq!(published, r#"{"message":{"op":0,"d":[1e400],"t":"CHAT"},"recipients":["1"]}"#);
    let stored: String = legacy.query(&["HGET", "undelivered_messages_api", "2"]).await;
    let (first, other) = (r#"{"op":0,"d":[1e400],"t":"CHAT"}"#, r#"{"op":0,"d":2,"t":"CHAT"}"#);
    assert_eq!(stored, format!("[{first},{other},{other}]"));
    let replaced: String = legacy.query(&["HGET", "undelivered_messages_api", "odd"]).await;
    assert_eq!(replaced, format!("[{first}]"));

    let sent = dispatcher.dispatch(&two.clone().without_sync(), &["2"]).await.unwrap();
    assert_eq!(sent.inboxes, None);
    assert_eq!(legacy.next().await["message"]["o"], json!({ "sync": false }));
    let unchanged: String = legacy.query(&["HGET", "undelivered_messages_api", "2"]).await;
    assert_eq!(unchanged, stored);
}
