//! What a dispatcher has to know.

use switchboard_redis::Options;

/// Which nodes, and how.
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
    /// The project that it speaks in, which is Mesa's namespace; default none, which is `default`, and the
    /// names of originals without a suffix.
    pub namespace: Option<String>,
    /// Whether messages for users wait until they have arrived; default false. A message may say
    /// [otherwise](crate::Message::without_sync).
    pub sync: bool,
    /// Speaks as an original Dispatcher does, for original Mesa servers and nodes that are bridged to
    /// them; default false, and unbridged nodes are spoken to. Not in a cluster.
    pub originals: bool,
    /// Which Redis, with which prefix. How much may wait the nodes say; 2 s after they say something else it holds
    /// here, and until one has said it [the defaults](crate::InboxLimits::default) do. Bounds in `inbox` hold in
    /// place of theirs for what is dispatched here: the oldest of a user gives way to it as soon as more than that
    /// wait, whoever put them there. Most of the rest is for nodes.
    pub redis: Options,
}

impl DispatcherOptions {
    /// One Redis, everything else as by default.
    pub fn new(url: &str) -> Self {
        DispatcherOptions { namespace: None, sync: false, originals: false, redis: Options::new(url) }
    }
}
