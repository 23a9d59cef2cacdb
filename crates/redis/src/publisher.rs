//! Publishing and storing messages from a process that is not a node: it receives nothing and holds no lease.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{RedisResult, Value};
use switchboard_backplane::{BackplaneError, Publication, Stored};
use switchboard_event::{Event, NodeId, ProjectId, UserId};
use switchboard_log::printable_error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::{Outbound, PUBLISH_TO_USERS};
use crate::connection::{Batch, Connector, RedisConnection, Session, Up, ignore_pushes, script, supervise};
use crate::context::spawn;
use crate::envelope::Stamp;
use crate::error::{ConnectError, RequestError};
use crate::inbox::{AnnouncedLimits, Appender, InboxScripts};
use crate::names::Names;
use crate::options::{Options, REPLY_TIMEOUT};

/// Publishes to the nodes that share a Redis, without being a node.
///
/// ```no_run
/// # async fn example(publication: switchboard_backplane::Publication) -> Result<(), Box<dyn std::error::Error>> {
/// use switchboard_redis::{Options, Publisher};
///
/// let publisher = Publisher::connect(Options::new("redis://127.0.0.1:6379")).await?;
/// publisher.publish(&publication).await?;
/// # Ok(()) }
/// ```
pub struct Publisher {
    shared: Arc<PublisherShared>,
    names: Names,
    verb: &'static str,
    /// Number of the next publication. The first is random, so that nodes do not mistake publications of different
    /// processes for copies of each other.
    next: AtomicU64,
    _stop: DropGuard,
}

struct PublisherShared {
    appender: Appender,
    /// `None` if the options give the bounds of the inbox.
    announced: Option<AnnouncedLimits>,
    scripts: Arc<InboxScripts>,
    connection: watch::Sender<Option<RedisConnection>>,
}

impl Publisher {
    /// Connects. Fails if Redis cannot be reached, unless it is not [required](Options::required). A lost
    /// connection is re-established.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let connector = Connector::new(&options)?;
        let (names, verb) = (Names::new(&options.prefix), connector.publish_verb());
        let (scripts, limits) = (Arc::new(InboxScripts::new()), options.inbox.unwrap_or_default());
        let shared = Arc::new(PublisherShared {
            appender: Appender::new(names.clone(), limits, verb, scripts.clone()),
            announced: options.inbox.is_none().then(|| AnnouncedLimits::new(&names)),
            scripts,
            connection: watch::Sender::new(None),
        });
        let first = async {
            let mut connected = connector.connect(ignore_pushes()).await?;
            shared.prepare(&mut connected.connection).await?;
            RedisResult::Ok(connected)
        };
        let first = match first.await {
            Ok(connected) => Some(connected),
            Err(cause) if options.required => return Err(connector.unreachable(cause)),
            Err(error) => {
                tracing::warn!(
                    redis = connector.addresses(),
                    error = printable_error(&error),
                    "cannot reach Redis; requests fail until it connects"
                );
                None
            }
        };
        let is_reachable = first.is_some();
        let (stop, session) = (CancellationToken::new(), PublisherSession { shared: shared.clone() });
        spawn(&stop, async move {
            tokio::select! {
                () = supervise(&connector, session, first) => {}
                never = connector.verify_address() => match never {},
            }
        });
        if is_reachable {
            // Completes at once unless the connection has just been lost.
            let _ = shared.connection().await;
        }
        let next = AtomicU64::new(rand::random());
        Ok(Publisher { shared, names, verb, next, _stop: stop.drop_guard() })
    }

    /// Publishes to every node with a member of the audience, and returns when Redis has accepted the publication. After
    /// an error nodes may or may not have received it. A publication that is made after this returns arrives later.
    pub async fn publish(&self, publication: &Publication) -> Result<(), BackplaneError> {
        Ok(self.try_publish(publication).await?)
    }

    async fn try_publish(&self, publication: &Publication) -> Result<(), RequestError> {
        let stamp = Stamp { node: NodeId(0), number: self.next.fetch_add(1, Ordering::Relaxed) };
        let names = self.names.project(&publication.project);
        let Some(outbound) = Outbound::of(&names, publication, stamp) else { return Ok(()) };
        let batch = || {
            let mut batch = Batch::default();
            outbound.append_to(&mut batch, self.verb);
            batch
        };
        let mut connection = self.connection().await?;
        // A publication that needs a script is a single call, so a second attempt repeats nothing.
        let replies: Vec<Value> = script::run_batch(&mut connection, &*PUBLISH_TO_USERS, batch).await?;
        replies.into_iter().try_for_each(|reply| reply.extract_error().map(drop))?;
        Ok(())
    }

    /// Stores a message for users and publishes it, as [`Inbox::put`](switchboard_backplane::Inbox::put) does.
    pub async fn store(
        &self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
    ) -> Result<Stored, BackplaneError> {
        self.connection().await?;
        Ok(self.shared.appender.append(project, users, event).await?)
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.shared.connection.borrow().is_some()
    }

    /// The connection. After a loss it waits for the next one, up to 2 s.
    pub(crate) async fn connection(&self) -> Result<RedisConnection, RequestError> {
        self.shared.connection().await
    }
}

impl PublisherShared {
    async fn connection(&self) -> Result<RedisConnection, RequestError> {
        let mut connection = self.connection.subscribe();
        let connected = timeout(REPLY_TIMEOUT, connection.wait_for(Option::is_some)).await;
        connected.ok().and_then(|connected| connected.ok()?.clone()).ok_or(RequestError::Disconnected)
    }

    /// Loads the scripts and reads the announced bounds.
    async fn prepare(&self, connection: &mut RedisConnection) -> RedisResult<()> {
        script::load(connection, &*self.scripts).await?;
        script::load(connection, &*PUBLISH_TO_USERS).await?;
        #[cfg(feature = "legacy")]
        script::load(connection, &*crate::legacy::DISPATCH).await?;
        self.follow_announced(connection).await
    }

    /// Applies the bounds that nodes announce. Without valid ones the previous bounds remain: smaller ones
    /// would evict stored messages.
    async fn follow_announced(&self, connection: &mut RedisConnection) -> RedisResult<()> {
        if let Some(announced) = &self.announced
            && let Some(limits) = announced.read(connection).await?
        {
            self.appender.set_limits(limits);
        }
        Ok(())
    }
}

struct PublisherSession {
    shared: Arc<PublisherShared>,
}

impl PublisherSession {
    async fn check(&self, mut connection: RedisConnection) -> RedisResult<()> {
        loop {
            sleep(REPLY_TIMEOUT).await;
            connection.ping().await?;
            self.shared.follow_announced(&mut connection).await?;
        }
    }
}

impl Session for PublisherSession {
    const CONNECTION: &'static str = "dispatcher";
    const LOST: &'static str = "dispatcher disconnected from Redis; requests fail until it reconnects";

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        self.shared.prepare(&mut connection).await?;
        self.shared.appender.reconnected();
        up.set();
        self.shared.connection.send_replace(Some(connection.clone()));
        tokio::select! {
            ended = self.check(connection.clone()) => ended,
            never = self.shared.appender.run(&connection) => match never {},
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.connection.send_replace(None);
        ControlFlow::Continue(())
    }
}
