//! What a node has to know of its Redis.

use std::time::Duration;

use switchboard_backplane::InboxLimits;

use crate::ConnectError;
use crate::connection::Source;
use crate::legacy::{EmitBridge, MesaBridge};
use crate::reports::Reports;

/// How long an answer of Redis is waited for before it counts as away: 2 s.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How Redis is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// One server; the first address.
    #[default]
    Single,
    /// Redis Cluster; the addresses are some of its nodes.
    Cluster,
    /// Sentinel; the addresses are the sentinels'. User, password, database and TLS of the first are
    /// those of the servers that they name.
    Sentinel {
        /// The name of the master.
        master: String,
        /// The sentinels' own password.
        password: Option<String>,
    },
}

/// Which Redis, and how it is used.
///
/// ```
/// use switchboard_redis::Options;
///
/// let options = Options { prefix: "shop".into(), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Clone)]
pub struct Options {
    /// Addresses: `redis://[user][:password@]host[:port][/database]`, or `rediss://…` for TLS. Several
    /// for a cluster or Sentinel.
    pub urls: Vec<String>,
    /// How it is run; default one server.
    pub mode: Mode,
    /// Certificates in PEM of the authorities that are believed in place of Mozilla's, for `rediss://`.
    /// Default none.
    pub root_certificates: Option<Vec<u8>>,
    /// What every key and channel begins with; default `switchboard`. Nodes with the same are one.
    pub prefix: String,
    /// After how long a node that says nothing is taken for dead; default 6 s, renewed three times as
    /// often, at least 300 ms.
    pub lease: Duration,
    /// Whether [`Redis::connect`](crate::Redis::connect) fails if Redis cannot be reached; default
    /// true. Otherwise the node begins alone and connects when it can.
    pub required: bool,
    /// Most bytes that wait to be published; default 16 MiB. What comes on top is lost to other nodes.
    pub publish_bytes_max: usize,
    /// Most changes of presence that wait to be written; default 131,072. Over it they are dropped and
    /// everything is written anew. Also the most messages whose arrival waits to be written; over it they
    /// are delivered again.
    pub changes_max: usize,
    /// How long after its last local member a channel stays subscribed; default 2 s.
    pub linger: Duration,
    /// Original emit.gg nodes on the same Redis that hear this node and are heard; default none.
    pub emit: Option<EmitBridge>,
    /// Original Mesa Dispatchers and servers on the same Redis that are heard; default none.
    pub mesa: Option<MesaBridge>,
    /// How much may wait for users, in every project. For a node the default is none, and nothing waits. All
    /// nodes should say the same: for what a node keeps its own bounds hold. A [`Backend`](crate::Backend) does as
    /// the node says that began last, which is the default; bounds that are given to it hold in their place for
    /// what it keeps, and may so drop what a node would have let wait.
    pub inbox: Option<InboxLimits>,
    /// Whose clients are reported to other processes; default nobody's.
    pub reports: Option<Reports>,
}

impl Options {
    /// One server, everything else as by default.
    pub fn new(url: &str) -> Self {
        Options {
            urls: vec![url.into()],
            mode: Mode::Single,
            root_certificates: None,
            prefix: "switchboard".into(),
            lease: Duration::from_secs(6),
            required: true,
            publish_bytes_max: 16 * 1024 * 1024,
            changes_max: 131_072,
            linger: Duration::from_secs(2),
            emit: None,
            mesa: None,
            inbox: None,
            reports: None,
        }
    }

    /// Says what of the addresses cannot be used, without asking anybody.
    pub fn check(&self) -> Result<(), ConnectError> {
        Source::new(self).map(drop).map_err(ConnectError::Options)
    }

    /// How often the lease is renewed.
    pub(crate) fn renew_every(&self) -> Duration {
        self.lease.max(Duration::from_millis(300)) / 3
    }
}

/// Addresses may hold passwords.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
