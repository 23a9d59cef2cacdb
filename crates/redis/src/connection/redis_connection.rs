//! A connection to Redis, whichever way it is run: one server, Sentinel, or a cluster.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::sync::{Mutex, Notify, watch};

use super::tls;
use crate::options::{ANSWER_WITHIN, Mode, Options};

/// Where connections come from.
pub(crate) struct Source {
    way: Way,
    addresses: String,
    /// How often a part of the node has come back to Redis, or come for the first time.
    comebacks: watch::Sender<u64>,
}

enum Way {
    One(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Vec<ConnectionInfo>, Option<TlsCertificates>),
}

/// What is called for each thing that Redis says unasked.
pub(crate) type OnPush = Box<dyn Fn(PushInfo) + Send + Sync>;

/// A new connection.
pub(crate) struct Connected {
    pub(crate) link: Link,
    gone: Arc<Notify>,
}

impl Connected {
    /// The error it ends with, when it does.
    pub(crate) async fn cut(&self) -> RedisError {
        self.gone.notified().await;
        io::Error::from(io::ErrorKind::ConnectionReset).into()
    }
}

/// For connections that hear nothing.
pub(crate) fn ignore() -> OnPush {
    Box::new(|_| ())
}

/// One connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

fn info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

impl Source {
    pub(crate) fn new(options: &Options) -> RedisResult<Self> {
        let is_bridged = options.emit.is_some() || options.mesa.is_some();
        if is_bridged && options.mode == Mode::Cluster {
            let reason = "a cluster cannot be bridged to original servers";
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, reason)));
        }
        let originals = options.reports.as_ref().and_then(|reports| reports.originals.as_ref());
        if originals.is_some() && options.mode == Mode::Cluster {
            let reason = "original Mesa Portals are not reached through a cluster";
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, reason)));
        }
        let infos = options.urls.iter().map(|url| info(url)).collect::<RedisResult<Vec<_>>>()?;
        let Some(first) = infos.first().cloned() else {
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, "no address is given")));
        };
        let addresses: Vec<String> = infos.iter().map(|info| info.addr().to_string()).collect();
        let tls = tls::certificates(&first, options)?;
        let way = match &options.mode {
            Mode::Single => Way::One(Box::new(match tls {
                Some(certificates) => Client::build_with_tls(first, certificates)?,
                None => Client::open(first)?,
            })),
            Mode::Cluster => {
                // Each connection needs a builder of its own; this one finds what cannot be used.
                cluster(&infos, &tls).build()?;
                Way::Cluster(infos, tls)
            }
            Mode::Sentinel { master, password } => {
                let client = sentinel(&infos, &first, master, password.as_deref(), tls)?;
                Way::Sentinel(Box::new(Mutex::new(client)))
            }
        };
        Ok(Source { way, addresses: addresses.join(", "), comebacks: watch::Sender::default() })
    }

    /// Where Redis is, as `host:port`, without names and passwords.
    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// To be said when what a connection is for works again, after whatever loss.
    pub(crate) fn came_back(&self) {
        self.comebacks.send_modify(|count| *count += 1);
    }

    /// Changes with each comeback.
    pub(crate) fn comebacks(&self) -> watch::Receiver<u64> {
        self.comebacks.subscribe()
    }

    /// A cluster carries publications within a slot.
    pub(crate) fn publish_verb(&self) -> &'static str {
        match self.way {
            Way::Cluster(..) => "SPUBLISH",
            Way::One(_) | Way::Sentinel(_) => "PUBLISH",
        }
    }

    /// Connects, within twice [`ANSWER_WITHIN`].
    pub(crate) async fn connect(&self, on_push: OnPush) -> RedisResult<Connected> {
        let gone = Arc::new(Notify::new());
        let notice = gone.clone();
        let push = move |info: PushInfo| {
            match info.kind {
                PushKind::Disconnection => notice.notify_one(),
                _ => on_push(info),
            }
            Ok::<(), ()>(())
        };
        let within = tokio::time::timeout(2 * ANSWER_WITHIN, self.connect_now(push)).await;
        let link = within.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        Ok(Connected { link, gone })
    }

    async fn connect_now(&self, push: impl AsyncPushSender) -> RedisResult<Link> {
        let client = match &self.way {
            Way::One(client) => (**client).clone(),
            Way::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await?,
            Way::Cluster(infos, tls) => {
                let client = cluster(infos, tls).push_sender(push).build()?;
                return Ok(Link::Cluster(client.get_async_connection().await?));
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_push_sender(push);
        Ok(Link::One(client.get_multiplexed_async_connection_with_config(&config).await?))
    }
}

fn cluster(infos: &[ConnectionInfo], tls: &Option<TlsCertificates>) -> ClusterClientBuilder {
    let builder = ClusterClientBuilder::new(infos.to_vec())
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(ANSWER_WITHIN)
        // Also of all tries together.
        .response_timeout(ANSWER_WITHIN);
    match tls {
        Some(certificates) => builder.certs(certificates.clone()),
        None => builder,
    }
}

fn sentinel(
    infos: &[ConnectionInfo],
    first: &ConnectionInfo,
    master: &str,
    password: Option<&str>,
    tls: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let (addresses, redis) = (infos.iter().map(|info| info.addr().clone()), first.redis_settings());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_redis_db(redis.db());
    if let Some(username) = redis.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = redis.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if tls::is_wanted(first) {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = tls {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build()
}

/// Commands that go out together. Those of one route keep their order.
#[derive(Default)]
pub(crate) struct Batch {
    commands: Vec<(String, Cmd)>,
}

impl Batch {
    /// `route` begins all keys of the command: a project's, or the nodes'.
    pub(crate) fn push(&mut self, route: &str, command: Cmd) {
        self.commands.push((route.into(), command));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

impl Link {
    pub(crate) async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Link::One(connection) => connection.req_packed_command(command).await,
            Link::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }

    /// What the server answers to one command, which may be that it refuses.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        Ok(T::from_redis_value(self.command(command).await?.extract_error()?)?)
    }

    /// Runs a pipeline whose keys have one route; what the server refuses is among the answers.
    async fn pipeline(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = pipeline.len();
        match self {
            Link::One(connection) => connection.req_packed_commands(pipeline, 0, count).await,
            Link::Cluster(connection) => connection.req_packed_commands(pipeline, 0, count).await,
        }
    }

    /// Runs a batch in as few round trips as there are slots. The answers are in the order of the
    /// commands; what the server refuses is among them.
    pub(crate) async fn run(&self, batch: Batch) -> RedisResult<Vec<Value>> {
        if let Link::One(_) = self {
            let mut pipeline = Pipeline::with_capacity(batch.commands.len());
            for (_, command) in batch.commands {
                pipeline.add_command(command);
            }
            return self.clone().pipeline(&pipeline).await;
        }
        let mut routes: HashMap<String, (Vec<usize>, Pipeline)> = HashMap::new();
        let mut answers = vec![Value::Nil; batch.commands.len()];
        for (place, (route, command)) in batch.commands.into_iter().enumerate() {
            let (places, pipeline) = routes.entry(route).or_default();
            places.push(place);
            pipeline.add_command(command);
        }
        let parts = try_join_all(routes.into_values().map(async |(places, pipeline)| {
            let values = self.clone().pipeline(&pipeline).await?;
            RedisResult::Ok((places, values))
        }));
        for (places, values) in parts.await? {
            places.into_iter().zip(values).for_each(|(place, value)| answers[place] = value);
        }
        Ok(answers)
    }

    /// Changes what the connection hears; the answer comes when it is in force. `channels` is not
    /// empty.
    pub(crate) async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            Link::One(connection) => connection.subscribe(channels).await,
            Link::Cluster(connection) => try_join_all(
                by_slot(channels)
                    .into_iter()
                    .map(async |channels| connection.clone().ssubscribe(channels).await),
            )
            .await
            .map(drop),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            Link::One(connection) => connection.unsubscribe(channels).await,
            Link::Cluster(connection) => try_join_all(
                by_slot(channels)
                    .into_iter()
                    .map(async |channels| connection.clone().sunsubscribe(channels).await),
            )
            .await
            .map(drop),
        }
    }

    /// Which processes Redis is: another one took over, or the same began again, if this changes.
    pub(crate) async fn identity(&mut self) -> RedisResult<String> {
        let answer = self.command(redis::cmd("INFO").arg("server")).await?.extract_error()?;
        let infos = match answer {
            // A cluster answers by address.
            Value::Map(infos) => infos.into_iter().map(|(_, info)| info).collect(),
            info => vec![info],
        };
        let infos = infos.into_iter().map(String::from_redis_value).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = infos.iter().filter_map(|info| run_id(info)).collect();
        ids.sort_unstable();
        Ok(ids.concat())
    }

    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        self.command(&redis::cmd("PING")).await.map(drop)
    }
}

fn run_id(info: &str) -> Option<&str> {
    info.lines().find_map(|line| line.strip_prefix("run_id:"))
}

/// Channels of one project are in one slot; a command may name those of one slot only.
fn by_slot(channels: &[String]) -> Vec<Vec<&str>> {
    let mut slots: HashMap<&str, Vec<&str>> = HashMap::new();
    for channel in channels {
        let slot = channel.split_inclusive('}').next().unwrap_or(channel);
        slots.entry(slot).or_default().push(channel);
    }
    slots.into_values().collect()
}
