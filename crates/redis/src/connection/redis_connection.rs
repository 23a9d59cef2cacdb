//! One connection: commands, pipelines and subscriptions, the same for one server and for a cluster.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value};

/// A multiplexed connection. Clones share it.
#[derive(Clone)]
pub(crate) enum RedisConnection {
    Single(MultiplexedConnection),
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
            RedisConnection::Single(connection) => connection.req_packed_command(command).await,
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
            RedisConnection::Single(connection) => connection.req_packed_commands(pipeline, 0, count).await,
            RedisConnection::Cluster(connection) => connection.req_packed_commands(pipeline, 0, count).await,
        }
    }

    /// Runs a batch in as few round trips as there are routes. The replies are in the order of the commands;
    /// error replies are among them.
    pub(crate) async fn run(&self, batch: Batch) -> RedisResult<Vec<Value>> {
        if let RedisConnection::Single(_) = self {
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
            RedisConnection::Single(connection) => connection.subscribe(channels).await,
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
            RedisConnection::Single(connection) => connection.unsubscribe(channels).await,
            RedisConnection::Cluster(connection) => try_join_all(
                by_slot(channels)
                    .into_iter()
                    .map(async |channels| connection.clone().sunsubscribe(channels).await),
            )
            .await
            .map(drop),
        }
    }

    /// The run ids of all servers behind this connection. They change when a server restarts or another
    /// one takes over.
    pub(crate) async fn run_ids(&mut self) -> RedisResult<String> {
        let reply = self.send(redis::cmd("INFO").arg("server")).await?.extract_error()?;
        let infos = match reply {
            // A cluster replies by address.
            Value::Map(infos) => infos.into_iter().map(|(_, info)| info).collect(),
            info => vec![info],
        };
        let infos = infos.into_iter().map(String::from_redis_value).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = infos.iter().filter_map(|info| run_id(info)).collect();
        ids.sort_unstable();
        Ok(ids.concat())
    }

    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        self.send(&redis::cmd("PING")).await.map(drop)
    }
}

fn run_id(info: &str) -> Option<&str> {
    info.lines().find_map(|line| line.strip_prefix("run_id:"))
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
