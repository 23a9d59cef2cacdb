//! Options of the Redis backplane. Plain data: nothing here connects.

#[cfg(feature = "legacy")]
mod legacy;
mod reports;

use std::time::Duration;

use switchboard_backplane::InboxLimits;

#[cfg(feature = "legacy")]
pub use legacy::{EmitBridge, LegacyPortals, MesaBridge};
pub use reports::ReportOptions;

/// How long a reply of Redis may take before the connection counts as lost: 2 s.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Deployment of Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// One server; the first address is used.
    #[default]
    Single,
    /// Redis Cluster; the addresses are seed nodes.
    Cluster,
    /// Redis Sentinel; the addresses are those of the sentinels. User, password, database and TLS of the
    /// first address apply to the servers behind them.
    Sentinel {
        /// Name of the monitored master.
        master: String,
        /// Password of the sentinels themselves. Default none.
        password: Option<String>,
    },
}

/// Options of a node's connection to Redis.
///
/// ```
/// use switchboard_redis::Options;
///
/// let options = Options { prefix: "shop".into(), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Clone)]
pub struct Options {
    /// Addresses: `redis://[user][:password@]host[:port][/database]`, or `rediss://…` for TLS. A cluster
    /// and Sentinel take several.
    pub urls: Vec<String>,
    /// Deployment of Redis. Default: one server.
    pub mode: Mode,
    /// PEM certificates of the authorities to trust in place of Mozilla's, for `rediss://`. Default none.
    pub root_certificates: Option<Vec<u8>>,
    /// Prefix of every key and channel. Default `switchboard`. Nodes with the same prefix form one cluster.
    pub prefix: String,
    /// Length of this node's lease. Default 6 s, at least 300 ms; renewed three times per lease. A node
    /// that does not renew counts as dead, and other nodes remove its presence.
    pub lease: Duration,
    /// Whether [`Redis::connect`](crate::Redis::connect) fails when Redis cannot be reached. Default true.
    /// If false, the node starts alone and connects later.
    pub required: bool,
    /// Maximum size of the publications that are queued for Redis, in bytes. Default 16 MiB. At the bound a
    /// publication does not reach other nodes.
    pub publish_bytes_max: usize,
    /// Maximum size of the changes of presence that are queued for Redis, in bytes. Default 32 MiB. At the bound the
    /// queue is dropped and the node's whole presence is written again.
    pub changes_bytes_max: usize,
    /// Maximum size of the acknowledgements of stored messages that are queued for Redis, in bytes. Default 16 MiB.
    /// At the bound an acknowledgement is dropped, and its messages are delivered again.
    pub receipts_bytes_max: usize,
    /// How long a channel stays subscribed after its last local member has left. Default 2 s.
    pub linger: Duration,
    /// Bridge to original emit.gg nodes on the same Redis. Default none. Not in a cluster.
    #[cfg(feature = "legacy")]
    pub emit: Option<EmitBridge>,
    /// Bridge to original Mesa servers and Dispatchers on the same Redis. Default none. Not in a cluster.
    #[cfg(feature = "legacy")]
    pub mesa: Option<MesaBridge>,
    /// Bounds of the inbox in each project. `None`, the default of a node, means no inbox.
    ///
    /// Give all nodes the same bounds: each node enforces its own on the messages that it stores. A
    /// [`Publisher`](crate::Publisher) with `None` follows the bounds that a node announced last. With
    /// bounds of its own it enforces those, and may evict messages that a node would have kept.
    pub inbox: Option<InboxLimits>,
    /// Keeps the history of rooms, on a connection of its own. Default false.
    pub history: bool,
    /// Reports of client actions to workers. Default none.
    pub reports: Option<ReportOptions>,
    /// Reports of client actions to webhooks. Default none.
    pub webhooks: Option<ReportOptions>,
}

impl Options {
    /// Options for one server at `url`, with defaults for everything else.
    pub fn new(url: &str) -> Self {
        Options {
            urls: vec![url.into()],
            mode: Mode::Single,
            root_certificates: None,
            prefix: "switchboard".into(),
            lease: Duration::from_secs(6),
            required: true,
            publish_bytes_max: 16 * 1024 * 1024,
            changes_bytes_max: 32 * 1024 * 1024,
            receipts_bytes_max: 16 * 1024 * 1024,
            linger: Duration::from_secs(2),
            #[cfg(feature = "legacy")]
            emit: None,
            #[cfg(feature = "legacy")]
            mesa: None,
            inbox: None,
            history: false,
            reports: None,
            webhooks: None,
        }
    }

    /// Length of the lease, at least its minimum.
    pub(crate) fn lease(&self) -> Duration {
        self.lease.max(Duration::from_millis(300))
    }

    /// Interval at which the lease is renewed.
    pub(crate) fn renew_interval(&self) -> Duration {
        self.lease() / 3
    }

    /// The option that cannot be combined with a cluster, if one is set.
    pub(crate) fn unsupported_in_cluster(&self) -> Option<&'static str> {
        #[cfg(feature = "legacy")]
        {
            if self.emit.is_some() || self.mesa.is_some() {
                return Some("bridges to original servers do not work with a cluster");
            }
            if self.reports.as_ref().is_some_and(|reports| reports.legacy_portals.is_some()) {
                return Some("original Mesa Portals do not work with a cluster");
            }
        }
        None
    }
}

/// Leaves out the addresses, which may contain passwords.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
