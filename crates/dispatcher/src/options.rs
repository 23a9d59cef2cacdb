//! The options of a dispatcher.

use switchboard_redis::Options;

/// The options of a [`Dispatcher`](crate::Dispatcher), each with its default.
///
/// ```
/// use switchboard_dispatcher::DispatcherOptions;
///
/// let options = DispatcherOptions {
///     namespace: Some("api".into()),
///     sync: true,
///     ..DispatcherOptions::new("redis://127.0.0.1:6379")
/// };
/// ```
#[derive(Debug, Clone)]
pub struct DispatcherOptions {
    /// The project, which Mesa calls namespace. Default `None`: the project `default`, and for original servers the
    /// key names without a suffix.
    pub namespace: Option<String>,
    /// Whether messages to users are stored in their inboxes until they are acknowledged; default false. A message
    /// can [opt out](crate::Message::without_sync).
    pub sync: bool,
    /// Publishes as the original Mesa Dispatcher does, for original Mesa servers and nodes bridged to them; default
    /// false. Other nodes do not receive these messages. Not supported with Redis Cluster.
    pub legacy: bool,
    /// The Redis connection and the key prefix.
    ///
    /// The inbox limits are those that the nodes publish. A change takes effect here within 2 s;
    /// [the defaults](crate::InboxLimits::default) apply until a node has published its limits. Limits in `inbox`
    /// override them for messages of this dispatcher: a message that exceeds them evicts the oldest messages of the
    /// user, including those of other senders. Most other options only affect nodes.
    pub redis: Options,
}

impl DispatcherOptions {
    /// The default options for one Redis server.
    pub fn new(url: &str) -> Self {
        DispatcherOptions { namespace: None, sync: false, legacy: false, redis: Options::new(url) }
    }
}
