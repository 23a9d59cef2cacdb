//! The backplane on Redis: many Switchboard nodes as one server.
//!
//! Nodes with the same Redis and the same prefix form one cluster: a message reaches the sockets of all nodes,
//! and presence is exact over all of them. Needs Redis 7.0 or newer, or Valkey.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use switchboard_redis::{Options, Redis};
//!
//! let redis = Redis::connect(Options::new("redis://127.0.0.1:6379")).await?;
//! # let app_with_backplane = |redis: &dyn switchboard_backplane::Backplane| ();
//! // let app = App::new().with_backplane(&redis);
//! app_with_backplane(&redis);
//! # Ok(()) }
//! ```

mod bridges;
mod bus;
mod connection;
mod context;
mod envelope;
mod error;
mod history;
mod idempotency;
mod inbox;
#[cfg(feature = "legacy")]
mod legacy;
mod names;
mod options;
mod publisher;
mod rates;
mod recovery;
mod reports;
mod revocations;
mod store;
mod whole_ms;

use std::sync::Arc;

use redis::RedisResult;
use switchboard_backplane::{
    Backplane, Bus, History, IdempotencyStore, Inbox, RateStore, ReportSink, RevocationStore, Store,
};
use switchboard_event::NodeId;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use bus::RedisBus;
pub use error::ConnectError;
pub use history::RedisHistory;
pub use inbox::RedisInbox;
#[cfg(feature = "legacy")]
pub use legacy::LegacyMessage;
#[cfg(feature = "legacy")]
pub use options::{EmitBridge, LegacyPortals, MesaBridge};
pub use options::{Mode, Options, ReportOptions};
pub use publisher::Publisher;
pub use reports::{RedisReportSink, webhook_prefix, worker};
pub use store::{RedisOccupancy, RedisStore};

use bridges::Bridges;
use connection::{Connected, Connector, Reconnects, ignore_pushes};
use context::Context;
use idempotency::RedisIdempotencyStore;
use names::Names;
use options::REPLY_TIMEOUT;
use rates::RedisRateStore;
use recovery::Recovery;
use reports::SweptClients;
use revocations::RedisRevocationStore;
use store::{Lease, Leases};
use switchboard_log::printable_error;

/// How long [`Redis::connect`] waits for each part once Redis is reachable.
const READY_TIMEOUT: std::time::Duration = REPLY_TIMEOUT.saturating_mul(2);

/// One node's backplane. Its tasks end when it is dropped.
pub struct Redis {
    bus: Arc<RedisBus>,
    store: Arc<RedisStore>,
    inbox: Option<Arc<RedisInbox>>,
    history: Option<Arc<RedisHistory>>,
    reports: Option<Arc<RedisReportSink>>,
    webhooks: Option<Arc<RedisReportSink>>,
    names: Names,
    idempotency: Arc<RedisIdempotencyStore>,
    revocations: Arc<RedisRevocationStore>,
    rates: Arc<RedisRateStore>,
    _stop: DropGuard,
}

impl Redis {
    /// Connects and claims a lease. Fails if Redis cannot be reached, unless it is not
    /// [required](Options::required). Lost connections are re-established.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let connector = Connector::new(&options)?;
        let names = Names::new(&options.prefix);
        let leases = Leases::new(names.clone(), options.lease(), connector.publish_verb(), copies_script());
        let (node, first) = match first_lease(&connector, &leases).await {
            Ok((node, connected, lease)) => (node, Some((connected, lease))),
            Err(cause) if options.required => return Err(connector.unreachable(cause)),
            Err(error) => {
                let redis = connector.addresses();
                tracing::warn!(
                    redis,
                    error = printable_error(&error),
                    "cannot reach Redis; this node is alone until it connects"
                );
                (NodeId::random(), None)
            }
        };
        let stop = CancellationToken::new();
        let reconnects = Reconnects::default();
        let context = Context { node, names, options, connector, reconnects, stop: stop.clone() };
        Ok(Redis::start(Arc::new(context), Arc::new(leases), first, stop.drop_guard()).await)
    }

    /// Connects, and returns the error that [`connect`](Self::connect) would return if Redis is required. No lease is
    /// claimed.
    pub async fn check(options: &Options) -> Result<(), ConnectError> {
        let connector = Connector::new(options)?;
        let names = Names::new(&options.prefix);
        let leases = Leases::new(names, options.lease(), connector.publish_verb(), copies_script());
        let connected = async {
            let mut connected = connector.connect(ignore_pushes()).await?;
            leases.load(&mut connected.connection).await
        };
        connected.await.map_err(|cause| connector.unreachable(cause))
    }

    /// Starts all parts. If Redis is reachable, waits for each part until it is up, at most [`READY_TIMEOUT`].
    async fn start(
        context: Arc<Context>,
        leases: Arc<Leases>,
        first: Option<(Connected, Lease)>,
        stop: DropGuard,
    ) -> Self {
        let bridges = configured_bridges(&context);
        let is_reachable = first.is_some();
        let bus = RedisBus::start(&context, bridges.bus);
        if is_reachable && timeout(READY_TIMEOUT, bus.wait_until_up()).await.is_err() {
            tracing::warn!("bus not connected to Redis yet; messages from other nodes are lost until it is");
        }
        let store = RedisStore::start(&context, leases, bridges.store, first);
        let inbox = context
            .options
            .inbox
            .map(|limits| RedisInbox::start(&context, limits, bus.clone(), store.clone(), bridges.inbox));
        if let Some(inbox) = inbox.as_ref().filter(|_| is_reachable)
            && timeout(READY_TIMEOUT, inbox.wait_until_up()).await.is_err()
        {
            tracing::warn!("inbox not connected to Redis yet; no message is stored until it is");
        }
        let history = context.options.history.then(|| RedisHistory::start(&context, bus.clone()));
        if let Some(history) = history.as_ref().filter(|_| is_reachable)
            && timeout(READY_TIMEOUT, history.wait_until_up()).await.is_err()
        {
            tracing::warn!("history not connected to Redis yet; messages have no positions until it is");
        }
        context.spawn({
            let context = context.clone();
            async move { match context.connector.verify_address().await {} }
        });
        context.spawn({
            let recovery = Recovery {
                bus: bus.clone(),
                store: store.clone(),
                inbox: inbox.clone(),
                history: history.clone(),
            };
            let context = context.clone();
            async move { recovery.run(&context.reconnects).await }
        });
        let reports = context.options.reports.clone();
        let reports = reports.map(|options| RedisReportSink::start(&context, options, bridges.reports));
        if let Some(reports) = reports.as_ref().filter(|_| is_reachable)
            && timeout(READY_TIMEOUT, reports.wait_until_up()).await.is_err()
        {
            tracing::warn!(
                "report sink not connected to Redis yet; no client action is reported until it is"
            );
        }
        let webhooks = context.options.webhooks.clone();
        let webhooks = webhooks.map(|options| RedisReportSink::start_for_webhooks(&context, options));
        if let Some(webhooks) = webhooks.as_ref().filter(|_| is_reachable)
            && timeout(READY_TIMEOUT, webhooks.wait_until_up()).await.is_err()
        {
            tracing::warn!("webhooks not connected to Redis yet; nothing is reported to them until they are");
        }
        let names = context.names.clone();
        let idempotency = Arc::new(RedisIdempotencyStore::new(names.clone(), store.clone()));
        let revocations = Arc::new(RedisRevocationStore::new(names.clone(), store.clone()));
        let rates = Arc::new(RedisRateStore::new(names.clone(), store.clone()));
        Redis {
            bus,
            store,
            inbox,
            history,
            reports,
            webhooks,
            names,
            idempotency,
            revocations,
            rates,
            _stop: stop,
        }
    }

    /// Reports the clients of crashed nodes to `sink`, which passes them to the [streams](Self::webhook_sink) of webhooks:
    /// they have left their rooms and disconnected. Does nothing without [`Options::webhooks`].
    pub fn report_swept_clients(&self, sink: Arc<dyn ReportSink>) {
        if let Some(streams) = &self.webhooks {
            let clients = SweptClients::new(self.names.clone(), sink, streams.clone());
            self.store.report_swept_clients(clients);
        }
    }

    /// The occupied rooms of all nodes.
    pub fn occupancy(&self) -> RedisOccupancy {
        RedisOccupancy::new(self.names.clone(), self.store.clone())
    }

    /// The sink of reports to webhooks, if [`Options::webhooks`] are set.
    pub fn webhook_sink(&self) -> Option<Arc<dyn ReportSink>> {
        self.webhooks.clone().map(|sink| sink as _)
    }

    /// The idempotency store of all nodes. It uses the store's connection.
    pub fn idempotency_store(&self) -> Arc<dyn IdempotencyStore> {
        self.idempotency.clone()
    }

    /// Sends queued reports and acknowledgements, then writes queued changes of presence and releases the lease, so
    /// that other nodes need not wait for its expiry. Each of the two steps is given up after 2 s. Call it when the
    /// node has no sockets any more.
    pub async fn leave(&self) {
        // Most queued reports are the disconnects of this node's clients. Reports that are not sent are lost with the node.
        let reports_sent = async {
            for reports in self.reports.iter().chain(&self.webhooks) {
                reports.settled().await;
            }
        };
        // Messages with unwritten acknowledgements are delivered again.
        let acknowledgements_written = async {
            if let Some(inbox) = &self.inbox {
                inbox.settled().await;
            }
        };
        let _ = timeout(REPLY_TIMEOUT, async { tokio::join!(reports_sent, acknowledgements_written) }).await;
        self.store.leave().await;
    }
}

impl Backplane for Redis {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        self.inbox.clone().map(|inbox| inbox as Arc<dyn Inbox>)
    }

    fn history(&self) -> Option<Arc<dyn History>> {
        self.history.clone().map(|history| history as Arc<dyn History>)
    }

    fn report_sink(&self) -> Option<Arc<dyn ReportSink>> {
        self.reports.clone().map(|reports| reports as _)
    }

    fn rate_store(&self) -> Option<Arc<dyn RateStore>> {
        Some(self.rates.clone())
    }

    fn revocation_store(&self) -> Option<Arc<dyn RevocationStore>> {
        Some(self.revocations.clone())
    }
}

/// The bridges to original servers that the options name.
#[cfg(feature = "legacy")]
fn configured_bridges(context: &Context) -> Bridges {
    legacy::bridges(&context.options, context.node, &context.names)
}

#[cfg(not(feature = "legacy"))]
fn configured_bridges(_: &Context) -> Bridges {
    Bridges::default()
}

/// Lua that writes copies of presence for original servers.
fn copies_script() -> Option<&'static str> {
    #[cfg(feature = "legacy")]
    return Some(legacy::COPIES_LUA);
    #[cfg(not(feature = "legacy"))]
    return None;
}

async fn first_lease(connector: &Connector, leases: &Leases) -> RedisResult<(NodeId, Connected, Lease)> {
    let mut connected = connector.connect(ignore_pushes()).await?;
    leases.load(&mut connected.connection).await?;
    loop {
        let node = NodeId::random();
        // 0 is reserved as the origin of publications that no node sent.
        if node != NodeId(0)
            && let Some(lease) = leases.claim(&mut connected.connection, node).await?
        {
            return Ok((node, connected, lease));
        }
    }
}
