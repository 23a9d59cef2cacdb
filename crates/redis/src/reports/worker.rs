//! A worker's membership of a group: lease, partitions, reading reports, acknowledging them and replying.
//!
//! The crate `switchboard-worker` builds on it and decides in which order reports are handled.

mod error;
mod reader;

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, PushInfo, PushKind, RedisResult, Value, cmd};
use switchboard_backplane::ReplyAddress;
use switchboard_event::{Name, NodeId, Payload, ProjectId};
use tokio::time::timeout;

use super::groups::WorkerScripts;
use crate::connection::script;
use crate::connection::{
    Batch, Connected, Connector, OnPush, RedisConnection, Session, Up, ignore_pushes, supervise,
};
use crate::envelope::{self, Stamp};
use crate::error::ConnectError;
use crate::names::{Names, ProjectNames};
use crate::options::{Options, REPLY_TIMEOUT};
use crate::whole_ms::whole_ms;

pub use error::WorkerError;
pub use reader::{EntryId, ReportEntry, ReportReader};

/// Number of partitions in a project for which no node has set it.
const PARTITIONS: &str = "16";

/// Maximum number of ids in one command, bounded by the number of arguments that Lua can pass on.
const IDS_MAX: usize = 1000;

/// Identity and times of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The project of which it receives reports.
    pub project: ProjectId,
    /// The group that it belongs to.
    pub group: Name,
    /// Id of the worker, unique in its group.
    pub worker: String,
    /// Length of its lease. A worker that does not renew it loses its partitions.
    pub lease: Duration,
    /// How long the group and its queued reports are stored without a worker.
    pub group_retention: Duration,
}

/// The reply to a claim: the partitions that the worker owns afterwards.
#[derive(Debug)]
pub struct ClaimReply {
    /// Time of Redis' clock, in ms.
    pub now_ms: u64,
    /// Number of partitions that the worker should own.
    pub share: usize,
    /// Owned partitions; true if the lease of the previous owner expired.
    pub owned: Vec<(u16, bool)>,
}

/// The use of a worker's connections.
pub trait WorkerSession: Send + 'static {
    /// Returns a function to be called when the group changes.
    fn on_group_change(&self) -> Box<dyn Fn() + Send + Sync>;

    /// Serves until a connection fails, or the worker has left its group, which is `Ok`. Dropped when the
    /// connection closes.
    fn serve(
        &mut self,
        group: GroupConnection,
        reader: ReportReader,
    ) -> impl Future<Output = Result<(), WorkerError>> + Send;

    /// Called after each connection that ended or could not be made. `Break` prevents the next attempt.
    fn disconnected(&mut self) -> ControlFlow<()>;
}

/// Connects a worker to its group.
pub struct GroupClient {
    connector: Connector,
    names: Names,
    project_names: ProjectNames,
    config: WorkerConfig,
    scripts: WorkerScripts,
}

/// A connection that is ready for [`GroupClient::run`].
pub struct FirstConnection(Connected);

impl GroupClient {
    /// Checks the options. Connects to nothing yet.
    pub fn new(options: &Options, config: WorkerConfig) -> Result<Arc<Self>, ConnectError> {
        let (connector, names) = (Connector::new(options)?, Names::new(&options.prefix));
        let project_names = names.project(&config.project);
        let scripts = WorkerScripts::new();
        Ok(Arc::new(GroupClient { connector, names, project_names, config, scripts }))
    }

    /// Makes the first connection for a session.
    pub async fn connect(&self, session: &impl WorkerSession) -> Result<FirstConnection, ConnectError> {
        let connected = self.connector.connect(self.on_push(session.on_group_change())).await;
        connected.map(FirstConnection).map_err(|cause| self.connector.unreachable(cause))
    }

    /// Runs a session, and reconnects until it ends.
    pub async fn run(self: Arc<Self>, first: FirstConnection, session: impl WorkerSession) {
        let supervised = SupervisedWorker { client: self.clone(), session };
        tokio::select! {
            () = supervise(&self.connector, supervised, Some(first.0)) => {}
            never = self.connector.verify_address() => match never {},
        }
    }

    /// Interval at which the lease is renewed.
    pub fn renew_interval(&self) -> Duration {
        self.config.lease / 3
    }

    /// Identity and times of the worker.
    pub fn config(&self) -> &WorkerConfig {
        &self.config
    }

    fn on_push(&self, on_group_change: Box<dyn Fn() + Send + Sync>) -> OnPush {
        let group = self.config.group.clone();
        Box::new(move |PushInfo { kind, data }| {
            let is_ours = matches!(&data[..], [_, Value::BulkString(name)] if **name == *group.as_bytes());
            if matches!(kind, PushKind::Message | PushKind::SMessage) && is_ours {
                on_group_change();
            }
        })
    }
}

struct SupervisedWorker<S> {
    client: Arc<GroupClient>,
    session: S,
}

impl<S: WorkerSession> Session for SupervisedWorker<S> {
    const CONNECTION: &'static str = "worker";
    const LOST: &'static str = "worker disconnected from Redis; no new reports until it reconnects";

    fn on_push(&self) -> OnPush {
        self.client.on_push(self.session.on_group_change())
    }

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        let client = self.client.clone();
        script::load(&mut connection, &client.scripts).await?;
        connection.subscribe(&[client.project_names.work_channel()]).await?;
        // Reads block, so they need a connection of their own.
        let reader = client.connector.connect(ignore_pushes()).await?;
        let WorkerConfig { project, group, .. } = client.config.clone();
        let reader = ReportReader::new(reader.connection, client.project_names.clone(), project, group);
        up.set();
        self.session.serve(GroupConnection { client, connection }, reader).await.map_err(|error| error.0)
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.session.disconnected()
    }
}

/// A worker's connection for everything but reading.
pub struct GroupConnection {
    client: Arc<GroupClient>,
    connection: RedisConnection,
}

impl GroupConnection {
    fn connection(&self) -> RedisConnection {
        self.connection.clone()
    }

    /// Renews the lease, releases partitions without unfinished reports, and claims the worker's share.
    pub async fn claim(&self, released: &[u16]) -> Result<ClaimReply, WorkerError> {
        let GroupClient { connector, project_names: names, config, scripts, .. } = &*self.client;
        let keys = [
            names.work_groups(),
            names.work_partitions(),
            names.workers(&config.group),
            names.owners(&config.group),
        ];
        let ms = |duration| whole_ms(duration).to_string();
        let mut args =
            vec![connector.publish_verb().to_owned(), names.work_channel(), config.group.to_string()];
        args.extend([config.worker.clone(), ms(config.lease), ms(config.group_retention), PARTITIONS.into()]);
        args.extend(released.iter().map(u16::to_string));
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let reply: Vec<Value> = self.connection().query(&scripts.share.call(&keys, &args)).await?;
        Ok(ClaimReply::read(reply)?)
    }

    /// Removes acknowledged reports from partitions that the worker still owns.
    pub async fn acknowledge(&self, entries: &[(u16, EntryId)]) -> Result<(), WorkerError> {
        let GroupClient { project_names: names, config, scripts, .. } = &*self.client;
        let mut batch = Batch::default();
        for some in entries.chunks(IDS_MAX) {
            let mut some = some.to_vec();
            some.sort_unstable();
            let mut args: Vec<String> =
                vec![names.base().into(), config.group.to_string(), config.worker.clone()];
            for ids in some.chunk_by(|previous, next| previous.0 == next.0) {
                args.extend([ids[0].0.to_string(), ids.len().to_string()]);
                args.extend(ids.iter().map(|(_, id)| id.to_string()));
            }
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            batch.push(names.base(), scripts.finish.call(&[names.owners(&config.group)], &args));
        }
        Ok(self.connection.run_all(batch).await?)
    }

    /// Sends replies to the nodes of the clients that wait for them.
    pub async fn reply(&self, replies: Vec<(ReplyAddress, Payload)>) -> Result<(), WorkerError> {
        let mut batch = Batch::default();
        for (to, data) in replies {
            let names = self.client.names.project(&to.project);
            let mut command = cmd(self.client.connector.publish_verb());
            command.arg(names.node_channel(to.call.node()));
            // Sender 0 is no node, so no node drops the message as its own.
            let message = envelope::encode(&to.publication(data), Stamp { node: NodeId(0), number: 0 });
            command.arg(&*message);
            batch.push(names.base(), command);
        }
        Ok(self.connection.run_all(batch).await?)
    }

    /// Leaves the group. `settled` are the partitions without unfinished reports. Waits at most 2 s for the
    /// reply.
    pub async fn leave(&self, settled: &[u16]) -> Result<(), WorkerError> {
        let GroupClient { connector, project_names: names, config, scripts, .. } = &*self.client;
        let mut args =
            vec![connector.publish_verb().to_owned(), names.work_channel(), config.group.to_string()];
        args.push(config.worker.clone());
        args.extend(settled.iter().map(u16::to_string));
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let keys = [names.workers(&config.group), names.owners(&config.group)];
        let (mut connection, call) = (self.connection(), scripts.leave.call(&keys, &args));
        match timeout(REPLY_TIMEOUT, connection.query::<Value>(&call)).await {
            Ok(reply) => Ok(reply.map(drop)?),
            Err(_) => Ok(()),
        }
    }
}

impl ClaimReply {
    fn read(reply: Vec<Value>) -> RedisResult<Self> {
        let mut reply = reply.into_iter();
        let mut number =
            || reply.next().map(u64::from_redis_value).transpose().map(Option::unwrap_or_default);
        let (now_ms, share) = (number()?, number()? as usize);
        let mut owned = Vec::new();
        for partition in reply {
            let text = String::from_redis_value(partition)?;
            let bare = text.strip_prefix('!');
            if let Ok(partition) = bare.unwrap_or(&text).parse() {
                owned.push((partition, bare.is_some()));
            }
        }
        Ok(ClaimReply { now_ms, share, owned })
    }
}
