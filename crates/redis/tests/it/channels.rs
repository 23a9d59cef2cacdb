//! Publishing to and subscribing to channels of Redis directly, as original servers do.

use switchboard_testkit::{RedisServer, soon};
use tokio::sync::mpsc;

use crate::support::run;

/// Publishes a message and returns the number of subscribers.
pub(crate) async fn publish(server: &RedisServer, channel: &str, message: &str) -> usize {
    run(server, &["PUBLISH", channel, message]).await
}

/// A subscription to some channels.
pub(crate) struct ChannelProbe {
    messages: mpsc::Receiver<(String, String)>,
    _connection: redis::aio::MultiplexedConnection,
}

impl ChannelProbe {
    pub(crate) async fn open(server: &RedisServer, channels: &[&str]) -> Self {
        let (sender, messages) = mpsc::channel(100);
        let config = redis::AsyncConnectionConfig::new().set_push_sender(move |push: redis::PushInfo| {
            if push.kind == redis::PushKind::Message {
                let mut texts = push.data.into_iter().map(|value| redis::from_redis_value(value).unwrap());
                sender.try_send((texts.next().unwrap(), texts.next().unwrap())).unwrap();
            }
            Ok::<(), ()>(())
        });
        let client = redis::Client::open(format!("{}?protocol=resp3", server.url())).unwrap();
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        connection.subscribe(channels).await.unwrap();
        ChannelProbe { messages, _connection: connection }
    }

    /// The channel and the text of the next message.
    pub(crate) async fn next(&mut self) -> (String, String) {
        soon("a message arrives", self.messages.recv()).await.unwrap()
    }
}
