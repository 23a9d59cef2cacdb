//! Many Switchboard nodes as one, through Redis.
//!
//! Nodes that have the same Redis and the same prefix are one server: sends reach the sockets of all,
//! and who is here is one truth. Needs Redis 7.0 or newer, or Valkey.
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

mod bus;
mod connection;
mod envelope;
mod idempotency;
mod inbox;
mod legacy;
mod names;
mod options;
mod publisher;
mod recovery;
mod reports;
mod store;

use std::future::Future;
use std::sync::Arc;

use redis::RedisError;
use switchboard_backplane::{Backplane, Bus, IdempotencyStore, Inbox, ReportSink, Store};
use switchboard_event::NodeId;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use bus::RedisBus;
pub use inbox::RedisInbox;
pub use legacy::{EmitBridge, MesaBridge};
pub use options::{Mode, Options};
pub use publisher::{Backend, ForOriginals};
pub use reports::{OriginalPortals, RedisPortal, Reports, worker as work};
pub use store::RedisStore;

use connection::{Connected, Source, ignore};
use idempotency::RedisRepeats;
use legacy::Bridges;
use names::Names;
use options::ANSWER_WITHIN;
use recovery::Parts;
use store::{Lease, Leases};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// An address or another option cannot be used.
    #[error("the address of Redis cannot be used")]
    Options(#[source] RedisError),
    /// Redis does not answer as it should.
    #[error("cannot reach Redis at {addresses}")]
    Unreachable {
        /// The addresses asked for, without names and passwords.
        addresses: String,
        /// What came in place of an answer.
        #[source]
        cause: RedisError,
    },
}

/// This node's part of the nodes that share a Redis. Its tasks end when it is dropped.
pub struct Redis {
    bus: Arc<RedisBus>,
    store: Arc<RedisStore>,
    inbox: Option<Arc<RedisInbox>>,
    portal: Option<Arc<RedisPortal>>,
    repeats: Arc<RedisRepeats>,
    _stop: DropGuard,
}

impl Redis {
    /// Connects and takes a lease. Fails if Redis cannot be reached, unless it is not
    /// [required](Options::required). From then on lost connections are made again.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let source = Arc::new(Source::new(&options).map_err(ConnectError::Options)?);
        let names = Names::new(&options.prefix);
        let leases = Leases::new(names.clone(), options.lease, source.publish_verb());
        let (node, first) = match first_lease(&source, &leases).await {
            Ok((node, connected, lease)) => (node, Some((connected, lease))),
            Err(cause) if options.required => {
                return Err(ConnectError::Unreachable { addresses: source.addresses().into(), cause });
            }
            Err(error) => {
                let redis = source.addresses();
                tracing::warn!(redis, %error, "Redis cannot be reached; this node works alone until it can");
                (NodeId::random(), None)
            }
        };
        let stop = CancellationToken::new();
        let bridges = Arc::new(Bridges::new(&options, node));
        let bus = RedisBus::start(node, names.clone(), &options, bridges.clone(), source.clone(), &stop);
        let is_there = first.is_some();
        if is_there && timeout(2 * ANSWER_WITHIN, bus.up()).await.is_err() {
            tracing::warn!("Redis answers, but other nodes are not heard yet");
        }
        let store = RedisStore::start(node, names.clone(), &options, bridges, source.clone(), first, &stop);
        let presence = (bus.clone(), store.clone());
        let inbox = options.inbox.map(|limits| {
            RedisInbox::start(names.clone(), &options, limits, source.clone(), presence, &stop)
        });
        if let Some(inbox) = inbox.as_ref().filter(|_| is_there)
            && timeout(2 * ANSWER_WITHIN, inbox.up()).await.is_err()
        {
            tracing::warn!("Redis answers, but nothing can be kept for users yet");
        }
        let parts = Parts { bus: bus.clone(), store: store.clone(), inbox: inbox.clone() };
        spawn(&stop, parts.look_after(source.comebacks()));
        let portal = options
            .reports
            .clone()
            .map(|reports| RedisPortal::start(node, names.clone(), reports, source, &stop));
        if let Some(portal) = portal.as_ref().filter(|_| is_there)
            && timeout(2 * ANSWER_WITHIN, portal.up()).await.is_err()
        {
            tracing::warn!("Redis answers, but it is not known yet who takes reports of clients");
        }
        let repeats = Arc::new(RedisRepeats::new(names, store.clone()));
        Ok(Redis { bus, store, inbox, portal, repeats, _stop: stop.drop_guard() })
    }

    /// Remembers requests for all nodes. It has no connection of its own: it asks by the store's.
    pub fn repeats(&self) -> Arc<dyn IdempotencyStore> {
        self.repeats.clone()
    }

    /// Writes what is left to write and gives the lease back, so that nobody waits for its end. Does what it can
    /// within 2 s, and with reports of clients or messages that wait within 2 s more. The node must have no
    /// sockets any more.
    pub async fn leave(&self) {
        // The ends of its sockets, above all. What waits longer than this is lost with the node.
        let reported = async {
            if let Some(portal) = &self.portal {
                portal.settled().await;
            }
        };
        // Or what has arrived is delivered again.
        let confirmed = async {
            if let Some(inbox) = &self.inbox {
                inbox.settled().await;
            }
        };
        let _ = timeout(ANSWER_WITHIN, async { tokio::join!(reported, confirmed) }).await;
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

    fn report_sink(&self) -> Option<Arc<dyn ReportSink>> {
        self.portal.clone().map(|portal| portal as _)
    }
}

async fn first_lease(source: &Source, leases: &Leases) -> Result<(NodeId, Connected, Lease), RedisError> {
    let mut connected = source.connect(ignore()).await?;
    leases.load(&mut connected.link).await?;
    loop {
        let node = NodeId::random();
        // Nobody is 0: that is the origin of what no node said.
        if node != NodeId(0)
            && let Some(lease) = leases.claim(&mut connected.link, node).await?
        {
            return Ok((node, connected, lease));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts tasks; all end with the token")]
fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
}
