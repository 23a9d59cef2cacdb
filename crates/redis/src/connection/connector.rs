//! Makes connections to one server, through Sentinel, or to a cluster.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::AsyncPushSender;
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, TlsCertificates, TlsMode,
};
use switchboard_log::{limited, printable_error};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use super::diagnosis::diagnose;
use super::losses::Losses;
use super::redis_connection::RedisConnection;
use super::server_identity::{IdentityWatch, ServerIdentity};
use super::tls;
use crate::error::ConnectError;
use crate::options::{Mode, Options, REPLY_TIMEOUT};

/// How often [`Connector::verify_address`] connects, on average.
const VERIFY_INTERVAL: Duration = Duration::from_secs(5);

/// Makes connections with one set of options.
pub(crate) struct Connector {
    topology: Topology,
    addresses: String,
    first_address: ConnectionAddr,
    /// Losses of connections that were up.
    pub(crate) losses: Losses,
    server: Arc<ServerIdentity>,
}

enum Topology {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Vec<ConnectionInfo>, Option<TlsCertificates>),
}

/// Called with each push of Redis: published messages, and confirmed (un)subscriptions.
pub(crate) type OnPush = Box<dyn Fn(PushInfo) + Send + Sync>;

/// For connections without subscriptions.
pub(crate) fn ignore_pushes() -> OnPush {
    Box::new(|_| ())
}

/// A new connection.
pub(crate) struct Connected {
    pub(crate) connection: RedisConnection,
    closed: Arc<Notify>,
    watch: IdentityWatch,
}

impl Connected {
    /// Completes when the connection closes, or must be made again because its server is a replica or another one
    /// than that of newer connections.
    pub(crate) async fn lost(mut self) -> RedisError {
        tokio::select! {
            () = self.closed.notified() => io::Error::from(io::ErrorKind::ConnectionReset).into(),
            error = Self::mismatch(&mut self.watch, &mut self.connection) => error,
        }
    }

    async fn mismatch(watch: &mut IdentityWatch, connection: &mut RedisConnection) -> RedisError {
        loop {
            watch.check_requested().await;
            let server = connection.server().await;
            if let Err(error) = server.and_then(|server| watch.check(&server)) {
                return error;
            }
        }
    }
}

impl Options {
    /// Checks the addresses and the combination of options without connecting.
    pub fn check(&self) -> Result<(), ConnectError> {
        Connector::new(self).map(drop)
    }
}

impl Connector {
    /// Fails with [`ConnectError::Options`] if the options are invalid. Connects to nothing yet.
    pub(crate) fn new(options: &Options) -> Result<Self, ConnectError> {
        let connector = Connector::of(options).map_err(ConnectError::Options)?;
        options.urls.iter().try_for_each(|url| check_parts(url, &options.mode))?;
        Ok(connector)
    }

    fn of(options: &Options) -> RedisResult<Self> {
        if options.mode == Mode::Cluster
            && let Some(reason) = options.unsupported_in_cluster()
        {
            return Err(invalid(reason));
        }
        let infos = options.urls.iter().map(|url| connection_info(url)).collect::<RedisResult<Vec<_>>>()?;
        let Some(first) = infos.first().cloned() else { return Err(invalid("no address is given")) };
        let addresses: Vec<String> = infos.iter().map(|info| shown(info.addr())).collect();
        let first_address = first.addr().clone();
        let tls = tls::certificates(&first, options.root_certificates.as_deref())?;
        let topology = match &options.mode {
            Mode::Single => Topology::Single(Box::new(match tls {
                Some(certificates) => Client::build_with_tls(first, certificates)?,
                None => Client::open(first)?,
            })),
            Mode::Cluster => {
                // Each connection needs a builder of its own; this one finds invalid options.
                cluster(&infos, &tls).build()?;
                Topology::Cluster(infos, tls)
            }
            Mode::Sentinel { master, password } => {
                let client = sentinel(&infos, &first, master, password.as_deref(), tls)?;
                Topology::Sentinel(Box::new(Mutex::new(client)))
            }
        };
        let (losses, server) = (Losses::default(), Arc::new(ServerIdentity::new()));
        Ok(Connector { topology, addresses: addresses.join(", "), first_address, losses, server })
    }

    /// The configured addresses as `host:port`, without user names and passwords.
    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The error of an attempt to connect, with the addresses.
    pub(crate) fn unreachable(&self, cause: RedisError) -> ConnectError {
        ConnectError::Unreachable { addresses: self.addresses.clone(), cause }
    }

    /// The command that publishes. A cluster uses sharded publish, which stays within a slot.
    pub(crate) fn publish_verb(&self) -> &'static str {
        match self.topology {
            Topology::Cluster(..) => "SPUBLISH",
            Topology::Single(_) | Topology::Sentinel(_) => "PUBLISH",
        }
    }

    /// Connects. Fails after twice [`REPLY_TIMEOUT`] at the latest.
    pub(crate) async fn connect(&self, on_push: OnPush) -> RedisResult<Connected> {
        let closed = Arc::new(Notify::new());
        let notify = closed.clone();
        let push = move |info: PushInfo| {
            match info.kind {
                PushKind::Disconnection => notify.notify_one(),
                _ => on_push(info),
            }
            Ok::<(), ()>(())
        };
        let connecting = async {
            let mut connection = match self.connect_with(push).await {
                Ok(connection) => connection,
                Err(error) => return Err(diagnose(&self.first_address, error).await),
            };
            let watch = self.server.watch();
            if let RedisConnection::Single(..) = connection {
                self.server.register(&connection.server().await?)?;
            }
            Ok(Connected { connection, closed, watch })
        };
        let connected = timeout(2 * REPLY_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Makes a short connection from time to time. If the address leads to another server by then, the others are
    /// made again. A failed attempt is ignored; tasks with a connection detect that it is lost. Connections to a
    /// cluster follow its changes by themselves.
    pub(crate) async fn verify_address(&self) -> Infallible {
        if let Topology::Cluster(..) = self.topology {
            return pending().await;
        }
        loop {
            // At random times, so that not all nodes connect at once.
            sleep(VERIFY_INTERVAL.mul_f64(0.5 + rand::random::<f64>())).await;
            if let Err(error) = self.connect(ignore_pushes()).await {
                limited!(
                    DEBUG,
                    error = printable_error(&error),
                    "cannot verify which Redis server the address leads to"
                );
            }
        }
    }

    async fn connect_with(&self, push: impl AsyncPushSender) -> RedisResult<RedisConnection> {
        let client = match &self.topology {
            Topology::Single(client) => (**client).clone(),
            Topology::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await?,
            Topology::Cluster(infos, tls) => {
                let client = cluster(infos, tls).push_sender(push).build()?;
                return Ok(RedisConnection::Cluster(client.get_async_connection().await?));
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REPLY_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT))
            .set_push_sender(push);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(RedisConnection::Single(connection, self.server.clone()))
    }
}

/// An address as `host:port`.
fn shown(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        other => other.to_string(),
    }
}

fn invalid(reason: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, reason))
}

/// RESP3 carries pushes and replies on one connection.
fn connection_info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

/// Refuses parts of a valid address that would have no effect. The error does not repeat them, because what
/// looks like one may be the rest of a password.
fn check_parts(url: &str, mode: &Mode) -> Result<(), ConnectError> {
    let is_socket_file = url.starts_with("unix:") || url.starts_with("redis+unix:");
    if url.contains('?') && !is_socket_file {
        return Err(ConnectError::Address(
            "expected no parameters after `?`; the database is a path, as in redis://host/1, and a password contains `?` as %3F",
        ));
    }
    if url.contains('#') {
        return Err(ConnectError::Address("expected nothing after `#`; a password contains `#` as %23"));
    }
    match connection_info(url).map_err(ConnectError::Options)?.redis_settings().db() {
        0 => Ok(()),
        1.. if *mode == Mode::Cluster => {
            Err(ConnectError::Address("expected no database, because a cluster has only the first"))
        }
        1.. => Ok(()),
        _ => Err(ConnectError::Address("expected a database from 0, as in redis://host/1")),
    }
}

fn cluster(infos: &[ConnectionInfo], tls: &Option<TlsCertificates>) -> ClusterClientBuilder {
    let builder = ClusterClientBuilder::new(infos.to_vec())
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(REPLY_TIMEOUT)
        // Covers all retries of a command together.
        .response_timeout(REPLY_TIMEOUT);
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
    if tls::is_tls(first) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets_and_ipv6_in_brackets() {
        let options = Options {
            urls: ["[::1]:7000", "[2001:db8::1]", "h:1"]
                .map(|host| format!("redis://u:secret@{host}"))
                .into(),
            mode: Mode::Cluster,
            ..Options::new("")
        };
        assert_eq!(Connector::new(&options).unwrap().addresses(), "[::1]:7000, [2001:db8::1]:6379, h:1");
    }
}
