//! Reports of the clients of crashed nodes: the node that removes the entries of an expired lease reports that their
//! clients have left their rooms and disconnected.
//!
//! The reports are in Redis before the entries are removed. A node that crashes in between leaves the lease to another
//! one, which reports the clients again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use redis::{RedisResult, cmd};
use switchboard_backplane::{ClientAction, Report, ReportSink};
use switchboard_event::{NodeId, ProjectId, RoomName, SocketId, UserId, unix_ms};

use super::RedisReportSink;
use crate::connection::RedisConnection;
use crate::names::{Names, name, node_of};

/// The close code of a connection that was cut.
const ABNORMAL: u16 = 1006;

/// Maximum number of clients in one reply of Redis.
const PAGE_MAX: usize = 1000;

/// How long the node that reports the clients of a lease keeps others from it, in ms.
const CLAIM_MS: u64 = 10_000;

/// Reports the clients of expired leases.
pub(crate) struct SweptClients {
    names: Names,
    /// Selects the reports.
    sink: Arc<dyn ReportSink>,
    /// Sends them.
    streams: Arc<RedisReportSink>,
}

/// A client of a crashed node.
#[derive(Default)]
struct SweptClient {
    user: Option<UserId>,
    rooms: Vec<RoomName>,
}

impl SweptClients {
    pub(crate) fn new(names: Names, sink: Arc<dyn ReportSink>, streams: Arc<RedisReportSink>) -> Self {
        SweptClients { names, sink, streams }
    }

    /// Reports the clients of a lease, except for those whose sessions are kept.
    pub(crate) async fn report(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<()> {
        let Some(node) = node_of(lease.as_bytes()) else { return Ok(()) };
        let projects: Vec<Vec<u8>> =
            connection.query(cmd("SMEMBERS").arg(self.names.projects(lease))).await?;
        for project in projects.into_iter().filter_map(name::<ProjectId>) {
            self.report_project(connection, lease, node, &project).await?;
        }
        Ok(())
    }

    /// Returns false if another node reports the clients of a lease.
    pub(crate) async fn claim(&self, connection: &mut RedisConnection, lease: &str) -> RedisResult<bool> {
        let mut claim = cmd("SET");
        claim.arg(self.names.swept(lease)).arg("").arg("NX").arg("PX").arg(CLAIM_MS);
        let claimed: Option<String> = connection.query(&claim).await?;
        Ok(claimed.is_some())
    }

    async fn report_project(
        &self,
        connection: &mut RedisConnection,
        lease: &str,
        node: NodeId,
        project: &ProjectId,
    ) -> RedisResult<()> {
        let index = self.names.project(project).index(lease);
        let targets: Vec<Vec<u8>> = connection.query(cmd("SMEMBERS").arg(index)).await?;
        let mut clients: HashMap<SocketId, SweptClient> = HashMap::new();
        for target in targets.iter().filter_map(|target| std::str::from_utf8(target).ok()) {
            for socket in self.members(connection, node, project, target).await? {
                clients.entry(socket).or_default().add(target);
            }
        }
        let kept: Vec<Vec<u8>> =
            connection.query(cmd("HKEYS").arg(self.names.project(project).sessions(lease))).await?;
        for socket in kept.into_iter().filter_map(|socket| socket.try_into().ok()) {
            clients.remove(&SocketId::from_bytes(socket));
        }
        self.report_all(project, clients).await;
        Ok(())
    }

    /// Reports the ends of kept sessions that nobody has taken.
    pub(crate) async fn report_kept(
        &self,
        connection: &mut RedisConnection,
        project: &ProjectId,
        sockets: &[SocketId],
    ) -> RedisResult<()> {
        let mut clients: HashMap<SocketId, SweptClient> = HashMap::new();
        for &socket in sockets {
            let targets: Vec<Vec<u8>> = connection
                .query(cmd("SMEMBERS").arg(self.names.project(project).kept_targets(socket)))
                .await?;
            let client = clients.entry(socket).or_default();
            targets
                .iter()
                .filter_map(|target| std::str::from_utf8(target).ok())
                .for_each(|target| client.add(target));
        }
        self.report_all(project, clients).await;
        Ok(())
    }

    /// Reports clients as disconnected, and waits until the reports are in the streams.
    async fn report_all(&self, project: &ProjectId, clients: HashMap<SocketId, SweptClient>) {
        for (number, (socket, client)) in clients.into_iter().enumerate() {
            self.report_client(project, socket, client);
            if number % PAGE_MAX == PAGE_MAX - 1 {
                self.streams.settled().await;
            }
        }
        self.streams.settled().await;
    }

    /// The sockets of the node in a target.
    async fn members(
        &self,
        connection: &mut RedisConnection,
        node: NodeId,
        project: &ProjectId,
        target: &str,
    ) -> RedisResult<Vec<SocketId>> {
        let key = format!("{}:in:{target}", self.names.project(project).base());
        let end = [b"[", &node.0.to_be_bytes()[..], &[0xff; 12]].concat();
        let mut start = [b"[", &node.0.to_be_bytes()[..]].concat();
        let mut sockets = Vec::new();
        loop {
            let mut command = cmd("ZRANGE");
            command.arg(&key).arg(&start).arg(&end).arg("BYLEX").arg("LIMIT").arg(0).arg(PAGE_MAX);
            let page: Vec<Vec<u8>> = connection.query(&command).await?;
            let Some(last) = page.last() else { return Ok(sockets) };
            start = [b"(", &**last].concat();
            let is_last = page.len() < PAGE_MAX;
            sockets.extend(page.into_iter().filter_map(|id| Some(SocketId::from_bytes(id.try_into().ok()?))));
            if is_last {
                return Ok(sockets);
            }
        }
    }

    fn report_client(&self, project: &ProjectId, socket: SocketId, client: SweptClient) {
        let SweptClient { user, rooms } = client;
        let left = rooms.into_iter().map(ClientAction::Left);
        for action in left.chain([ClientAction::Disconnected { code: ABNORMAL }]) {
            self.sink.report(Report {
                project: project.clone(),
                socket,
                protocol: None,
                user: user.clone(),
                time_ms: unix_ms(SystemTime::now()),
                action,
            });
        }
    }
}

impl SweptClient {
    /// Adds a membership, as the index of the lease names it.
    fn add(&mut self, target: &str) {
        if target.starts_with('#') {
            self.rooms.extend(RoomName::new(target).ok());
        } else if let Some(user) = target.strip_prefix('@') {
            self.user = UserId::new(user).ok();
        }
    }
}
