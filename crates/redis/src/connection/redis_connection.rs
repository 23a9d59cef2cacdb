//! One connection: commands, pipelines and subscriptions, the same for one server and for a cluster.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, ServerErrorKind, Value};

use super::server_identity::{ServerIdentity, ServerInfo};

/// A multiplexed connection. Clones share it.
#[derive(Clone)]
pub(crate) enum RedisConnection {
    /// To one server, whose role may change.
    Single(MultiplexedConnection, Arc<ServerIdentity>),
    /// To all servers of a cluster. It follows failovers by itself.
    Cluster(ClusterConnection),
}

/// Commands that are sent together. Those with the same route keep their order.
#[derive(Default)]
pub(crate) struct Batch {
    commands: Vec<(String, Cmd)>,
}

impl Batch {
    /// `route` is the prefix that all keys of the command share, which selects the slot in a cluster.
    pub(crate) fn push(&mut self, route: &str, command: Cmd) {
        self.commands.push((route.into(), command));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }
}

impl RedisConnection {
    /// Sends a command. An error reply of the server is returned as a value.
    pub(crate) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            RedisConnection::Single(connection, server) => {
                let reply = connection.req_packed_command(command).await?;
                server.check_replies([&reply]);
                Ok(reply)
            }
            RedisConnection::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }

    /// Sends a command and converts its reply. An error reply of the server is an error.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        Ok(T::from_redis_value(self.send(command).await?.extract_error()?)?)
    }

    /// Runs a pipeline whose keys have one route; error replies are among the values.
    async fn pipeline(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = pipeline.len();
        match self {
            RedisConnection::Single(connection, server) => {
                let replies = connection.req_packed_commands(pipeline, 0, count).await?;
                server.check_replies(&replies);
                Ok(replies)
            }
            RedisConnection::Cluster(connection) => connection.req_packed_commands(pipeline, 0, count).await,
        }
    }

    /// Runs a batch in as few round trips as there are routes. The replies are in the order of the commands;
    /// error replies are among them.
    pub(crate) async fn run(&self, batch: Batch) -> RedisResult<Vec<Value>> {
        if let RedisConnection::Single(..) = self {
            let mut pipeline = Pipeline::with_capacity(batch.commands.len());
            for (_, command) in batch.commands {
                pipeline.add_command(command);
            }
            return self.clone().pipeline(&pipeline).await;
        }
        let mut routes: HashMap<String, (Vec<usize>, Pipeline)> = HashMap::new();
        let mut replies = vec![Value::Nil; batch.commands.len()];
        for (index, (route, command)) in batch.commands.into_iter().enumerate() {
            let (indexes, pipeline) = routes.entry(route).or_default();
            indexes.push(index);
            pipeline.add_command(command);
        }
        let by_route = try_join_all(routes.into_values().map(async |(indexes, pipeline)| {
            let values = self.clone().pipeline(&pipeline).await?;
            RedisResult::Ok((indexes, values))
        }));
        for (indexes, values) in by_route.await? {
            indexes.into_iter().zip(values).for_each(|(index, value)| replies[index] = value);
        }
        Ok(replies)
    }

    /// Runs a batch and fails with the first error reply.
    pub(crate) async fn run_all(&self, batch: Batch) -> RedisResult<()> {
        self.run(batch).await?.into_iter().try_for_each(|reply| reply.extract_error().map(drop))
    }

    /// Subscribes to channels, of which there is at least one. Returns once the subscription is in force.
    pub(crate) async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            RedisConnection::Single(connection, _) => connection.subscribe(channels).await,
            RedisConnection::Cluster(connection) => try_join_all(
                by_slot(channels)
                    .into_iter()
                    .map(async |channels| connection.clone().ssubscribe(channels).await),
            )
            .await
            .map(drop),
        }
    }

    /// Unsubscribes from channels, of which there is at least one.
    pub(crate) async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            RedisConnection::Single(connection, _) => connection.unsubscribe(channels).await,
            RedisConnection::Cluster(connection) => try_join_all(
                by_slot(channels)
                    .into_iter()
                    .map(async |channels| connection.clone().sunsubscribe(channels).await),
            )
            .await
            .map(drop),
        }
    }

    /// Identifies the data behind this connection, on all servers. It changes when a server restarts or another one
    /// takes over: confirmed writes may then be missing.
    pub(crate) async fn data_id(&mut self) -> RedisResult<String> {
        let mut ids: Vec<String> = self.servers().await?.iter().map(ServerInfo::data_id).collect();
        ids.sort_unstable();
        Ok(ids.join(", "))
    }

    /// Identity and role of the one server behind this connection. Both are empty if it does not allow `INFO`.
    pub(super) async fn server(&mut self) -> RedisResult<ServerInfo> {
        match self.servers().await {
            Ok(servers) => Ok(servers.into_iter().next().unwrap_or_default()),
            Err(error) if error.kind() == ServerErrorKind::NoPerm.into() => Ok(ServerInfo::default()),
            Err(error) => Err(error),
        }
    }

    async fn servers(&mut self) -> RedisResult<Vec<ServerInfo>> {
        let reply = self.send(redis::cmd("INFO").arg("server").arg("replication")).await?.extract_error()?;
        let infos = match reply {
            // A cluster replies by address.
            Value::Map(infos) => infos.into_iter().map(|(_, info)| info).collect(),
            info => vec![info],
        };
        let infos = infos.into_iter().map(String::from_redis_value).collect::<Result<Vec<_>, _>>()?;
        Ok(infos.iter().map(|info| ServerInfo::parse(info)).collect())
    }

    /// Fails if the server refuses even this, for example because it loads its data.
    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        self.query(&redis::cmd("PING")).await
    }
}

/// Groups channels by slot: all channels of a project are in one, and a command may name only one slot's.
fn by_slot(channels: &[String]) -> Vec<Vec<&str>> {
    let mut slots: HashMap<&str, Vec<&str>> = HashMap::new();
    for channel in channels {
        let slot = channel.split_inclusive('}').next().unwrap_or(channel);
        slots.entry(slot).or_default().push(channel);
    }
    slots.into_values().collect()
}
