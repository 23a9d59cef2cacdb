//! A process that is no node and speaks to all: it publishes and keeps messages, and hears nothing.
//!
//! It has one connection, which comes back by itself, and no lease: it leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{FromRedisValue, RedisError, RedisResult, Value};
use switchboard_backplane::{Publication, StoreError, Stored};
use switchboard_event::{Event, NodeId, ProjectId, UserId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ConnectError;
use crate::bus::{Outbound, TO_USERS};
use crate::connection::backoff::Backoff;
use crate::connection::script::{self, Script, is_unknown};
use crate::connection::{Batch, Connected, Link, Source, ignore};
use crate::envelope::Stamp;
use crate::inbox::{Heeded, Putting, Scripts};
use crate::names::Names;
use crate::options::{ANSWER_WITHIN, Options};
use crate::store::NoAnswer;

/// Speaks to the nodes that share a Redis without being one.
///
/// ```no_run
/// # async fn example(publication: switchboard_backplane::Publication) -> Result<(), Box<dyn std::error::Error>> {
/// use switchboard_redis::{Backend, Options};
///
/// let backend = Backend::connect(Options::new("redis://127.0.0.1:6379")).await?;
/// backend.publish(&publication).await?;
/// # Ok(()) }
/// ```
pub struct Backend {
    shared: Arc<Shared>,
    names: Names,
    verb: &'static str,
    /// Begins at random, so that what it says is not taken for what another one said.
    next: AtomicU64,
    _stop: DropGuard,
}

struct Shared {
    putting: Putting,
    /// What the nodes say of how much may wait; none if the options say it.
    heeded: Option<Heeded>,
    scripts: Arc<Scripts>,
    to_originals: Script,
    link: watch::Sender<Option<Link>>,
}

/// Something for the sockets of original Mesa servers.
#[derive(Debug, Clone, Copy)]
pub struct ForOriginals<'a> {
    /// The namespace of the servers; none if they have none.
    pub namespace: Option<&'a str>,
    /// The message as JSON: `{"op":0,"d":{},"t":"TYPE"}`.
    pub message: &'a str,
    /// The users; `*` is everyone.
    pub users: &'a [&'a str],
    /// Whether it waits for users who are not there.
    pub waits: bool,
}

impl Backend {
    /// Connects. Fails if Redis cannot be reached, unless it is not [required](Options::required). What
    /// it keeps is bounded as the nodes say, unless [`Options::inbox`] says otherwise.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let source = Arc::new(Source::new(&options).map_err(ConnectError::Options)?);
        let (names, verb) = (Names::new(&options.prefix), source.publish_verb());
        let (scripts, limits) = (Arc::new(Scripts::new()), options.inbox.unwrap_or_default());
        let shared = Arc::new(Shared {
            putting: Putting::new(names.clone(), limits, verb, scripts.clone()),
            heeded: options.inbox.is_none().then(|| Heeded::new(&names)),
            scripts,
            to_originals: Script::of(include_str!("legacy/mesa/dispatch.lua")),
            link: watch::Sender::new(None),
        });
        let first = match shared.begin(&source).await {
            Ok(connected) => Some(connected),
            Err(cause) if options.required => {
                return Err(ConnectError::Unreachable { addresses: source.addresses().into(), cause });
            }
            Err(error) => {
                tracing::warn!(redis = source.addresses(), %error, "Redis cannot be reached yet");
                None
            }
        };
        let stop = CancellationToken::new();
        crate::spawn(&stop, shared.clone().keep(source, first));
        let next = AtomicU64::new(rand::random());
        Ok(Backend { shared, names, verb, next, _stop: stop.drop_guard() })
    }

    /// Sends to every node that cares for a target of the audience, once. Answers when Redis has taken
    /// it; after an error nodes may have heard it or not. What is sent after an answer is heard later.
    pub async fn publish(&self, publication: &Publication) -> Result<(), StoreError> {
        let stamp = Stamp { node: NodeId(0), number: self.next.fetch_add(1, Ordering::Relaxed) };
        let names = self.names.project(&publication.project);
        let Some(outbound) = Outbound::of(&names, publication, stamp) else { return Ok(()) };
        let mut link = self.shared.link().await?;
        let answers = run(&link, &outbound, self.verb).await?;
        // What needs a script is one command, so nothing is done yet.
        let answers = match answers.iter().any(is_unknown) {
            true => {
                self.shared.load(&mut link).await.map_err(NoAnswer::from)?;
                run(&link, &outbound, self.verb).await?
            }
            false => answers,
        };
        for answer in answers {
            answer.extract_error().map_err(NoAnswer::from)?;
        }
        Ok(())
    }

    /// Keeps a message for users and has all nodes with sockets of theirs hear it, as
    /// [`Inbox::put`](switchboard_backplane::Inbox::put) does.
    pub async fn keep(
        &self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
    ) -> Result<Stored, StoreError> {
        self.shared.link().await?;
        Ok(self.shared.putting.put(project, users, event).await?)
    }

    /// Speaks to original Mesa servers, and to nodes that are bridged to them, as an original
    /// Dispatcher does. Says for how many users the message waits. Not in a cluster.
    pub async fn tell_originals(&self, said: &ForOriginals<'_>) -> Result<usize, StoreError> {
        let named = |name: &str| match said.namespace {
            Some(namespace) => format!("{name}_{namespace}"),
            None => name.to_owned(),
        };
        let keys = [named("connected_clients"), named("undelivered_messages")];
        // Who is everyone is nobody that could be away.
        let waits: &[u8] = if said.waits && !said.users.contains(&"*") { b"1" } else { b"0" };
        let channel = named("ws");
        let mut args = vec![channel.as_bytes(), said.message.as_bytes(), waits];
        args.extend(said.users.iter().map(|user| user.as_bytes()));
        let mut link = self.shared.link().await?;
        let answer = script::run(&mut link, &self.shared.to_originals, &keys, &args).await;
        let answer = answer.map_err(NoAnswer::from)?;
        Ok(usize::from_redis_value(answer).map_err(RedisError::from).map_err(NoAnswer::from)?)
    }

    /// Whether there is a connection now.
    pub fn is_up(&self) -> bool {
        self.shared.link.borrow().is_some()
    }
}

async fn run(link: &Link, outbound: &Outbound, verb: &str) -> Result<Vec<Value>, NoAnswer> {
    let mut batch = Batch::default();
    outbound.put_into(&mut batch, verb);
    Ok(link.run(batch).await?)
}

impl Shared {
    async fn load(&self, link: &mut Link) -> RedisResult<()> {
        self.scripts.load(link).await?;
        script::load(link, &[&TO_USERS, &self.to_originals]).await
    }

    async fn begin(&self, source: &Source) -> RedisResult<Connected> {
        let mut connected = source.connect(ignore()).await?;
        self.load(&mut connected.link).await?;
        self.heed(&mut connected.link).await?;
        self.putting.begin_anew();
        self.link.send_replace(Some(connected.link.clone()));
        Ok(connected)
    }

    /// Keeps to what the nodes say. Where that cannot be known, to what was known of it: to keep to less would drop
    /// what waits.
    async fn heed(&self, link: &mut Link) -> RedisResult<()> {
        if let Some(heeded) = &self.heeded
            && let Some(limits) = heeded.read(link).await?
        {
            self.putting.keep_to(limits);
        }
        Ok(())
    }

    /// The connection; a lost one is waited for for a while.
    async fn link(&self) -> Result<Link, NoAnswer> {
        let mut link = self.link.subscribe();
        let there = timeout(ANSWER_WITHIN, link.wait_for(Option::is_some)).await;
        there.ok().and_then(|there| there.ok()?.clone()).ok_or(NoAnswer::Away)
    }

    /// Keeps a connection as long as somebody polls.
    async fn keep(self: Arc<Self>, source: Arc<Source>, mut first: Option<Connected>) {
        let mut backoff = Backoff::default();
        loop {
            let connected = match first.take() {
                Some(connected) => Ok(connected),
                None => self.begin(&source).await,
            };
            match connected {
                Ok(connected) => {
                    backoff = Backoff::default();
                    let error = tokio::select! {
                        error = connected.cut() => error,
                        error = self.watch_over(connected.link.clone()) => error,
                        never = self.putting.run(&connected.link) => match never {},
                    };
                    self.link.send_replace(None);
                    tracing::warn!(%error, "Redis is away");
                }
                Err(error) => tracing::debug!(%error, "no connection to Redis"),
            }
            backoff.pause().await;
        }
    }

    /// Heeds the nodes. Comes back when the connection does not answer.
    async fn watch_over(&self, mut link: Link) -> RedisError {
        loop {
            sleep(ANSWER_WITHIN).await;
            if let Err(error) = link.ping().await {
                return error;
            }
            if let Err(error) = self.heed(&mut link).await {
                return error;
            }
        }
    }
}
