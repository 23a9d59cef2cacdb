//! The Redis server that all connections of a node lead to.
//!
//! Connections are made at different times, and after a failover an address leads to another server. The server
//! behind the older connections still accepts publications and subscriptions, so nothing fails and nothing arrives.
//! Therefore every connection reads the identity and the role of its server, and a replica is refused. When a new
//! connection reaches another server, or a reply shows that a server is not a master, each open connection reads them
//! again and closes if its server is a replica or another one than that of the newest connection.

use std::io;
use std::sync::Arc;

use metrics::{Counter, counter};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;

/// Identity and role of a server, from its `INFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// Changes when the process restarts. Empty if the server does not allow to read it.
    run_id: String,
    /// Changes when the server becomes a master.
    replication_id: String,
    is_replica: bool,
}

impl ServerInfo {
    /// Reads the sections `server` and `replication`.
    pub(super) fn parse(info: &str) -> Self {
        let field =
            |name| info.lines().find_map(|line| line.trim_end().strip_prefix(name)).unwrap_or_default();
        ServerInfo {
            run_id: field("run_id:").into(),
            replication_id: field("master_replid:").into(),
            is_replica: field("role:") == "slave",
        }
    }

    /// Identifies the data of a master: writes that were confirmed before it changes may be missing afterwards.
    pub(super) fn data_id(&self) -> String {
        format!("{} {}", self.run_id, self.replication_id)
    }
}

/// Shared by the connections of one connector.
pub(crate) struct ServerIdentity {
    expected: watch::Sender<Expected>,
    replaced: [Counter; 2],
}

#[derive(Default)]
struct Expected {
    /// Of the server that the newest connection leads to. Empty before the first one.
    run_id: String,
}

/// Why a connection cannot be used.
enum Mismatch {
    Replica,
    OtherServer,
}

impl ServerIdentity {
    pub(super) fn new() -> Self {
        let counter = |reason| counter!("switchboard_redis_connections_replaced_total", "reason" => reason);
        ServerIdentity {
            expected: watch::Sender::default(),
            replaced: ["replica", "other_server"].map(counter),
        }
    }

    /// Registers the server of a new connection. Refuses a replica.
    pub(super) fn register(&self, server: &ServerInfo) -> RedisResult<()> {
        if server.is_replica {
            self.request_checks();
            return Err(self.mismatch(Mismatch::Replica));
        }
        self.expected.send_if_modified(|expected| {
            let is_other = !server.run_id.is_empty() && server.run_id != expected.run_id;
            let is_first = expected.run_id.is_empty();
            if is_other {
                expected.run_id.clone_from(&server.run_id);
            }
            is_other && !is_first
        });
        Ok(())
    }

    /// Requests that every connection reads its server's identity again.
    fn request_checks(&self) {
        self.expected.send_modify(|_| ());
    }

    /// Requests checks if a reply comes from a server that is not a master, or not any more.
    pub(super) fn check_replies<'v>(&self, replies: impl IntoIterator<Item = &'v Value>) {
        let is_from_no_master = |reply: &Value| match reply {
            Value::ServerError(error) => error.kind().is_some_and(|kind| is_no_master(kind.into())),
            _ => false,
        };
        if replies.into_iter().any(is_from_no_master) {
            self.request_checks();
        }
    }

    pub(super) fn watch(self: &Arc<Self>) -> IdentityWatch {
        IdentityWatch { expected: self.expected.subscribe(), identity: self.clone() }
    }

    fn mismatch(&self, mismatch: Mismatch) -> RedisError {
        let (counter, text) = match mismatch {
            Mismatch::Replica => (&self.replaced[0], "the server is a replica, which cannot be written"),
            Mismatch::OtherServer => {
                (&self.replaced[1], "the address leads to another Redis server than before")
            }
        };
        counter.increment(1);
        io::Error::other(text).into()
    }
}

/// Whether an error is the reply of a replica, or of a server that loads its data.
pub(crate) fn is_no_master(kind: ErrorKind) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    matches!(kind, ErrorKind::Server(BusyLoading | MasterDown | ReadOnly))
}

/// The view of one connection.
pub(super) struct IdentityWatch {
    expected: watch::Receiver<Expected>,
    identity: Arc<ServerIdentity>,
}

impl IdentityWatch {
    /// Completes when the connection must read its server's identity again.
    pub(super) async fn check_requested(&mut self) {
        self.expected.changed().await.expect("this holds the sender");
    }

    /// Fails if the server is a replica, or another one than that of newer connections.
    pub(super) fn check(&self, server: &ServerInfo) -> RedisResult<()> {
        if server.is_replica {
            return Err(self.identity.mismatch(Mismatch::Replica));
        }
        if server.run_id != self.expected.borrow().run_id {
            return Err(self.identity.mismatch(Mismatch::OtherServer));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aa\r\n\r\n# Replication\r\nrole:master\r\n\
                          connected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:bb\r\n\
                          master_replid2:0000\r\n";

    fn server(run_id: &str, is_replica: bool) -> ServerInfo {
        ServerInfo { run_id: run_id.into(), replication_id: "r".into(), is_replica }
    }

    #[test]
    fn identity_and_role_are_read_from_info() {
        let master = ServerInfo::parse(MASTER);
        assert_eq!((&*master.data_id(), master.is_replica), ("aa bb", false));
        let replica = ServerInfo::parse(&MASTER.replace("role:master", "role:slave"));
        assert!(replica.is_replica);
        assert_eq!(ServerInfo::parse("# Server\r\nrun_id_of_another:1\r\n"), ServerInfo::default());
    }

    #[test]
    fn connections_are_checked_when_a_newer_one_reaches_another_server_or_a_replica() {
        let identity = Arc::new(ServerIdentity::new());
        let has_changed = |watch: &mut IdentityWatch| {
            let has_changed = watch.expected.has_changed().expect("the identity lives");
            watch.expected.mark_unchanged();
            has_changed
        };
        identity.register(&server("a", false)).unwrap();
        let mut watch = identity.watch();
        identity.register(&server("a", false)).unwrap();
        identity.register(&ServerInfo::default()).unwrap();
        assert!(!has_changed(&mut watch), "the same server, and an unknown one");
        identity.register(&server("b", false)).unwrap();
        assert!(has_changed(&mut watch));
        assert!(identity.register(&server("b", true)).is_err(), "a replica is refused");
        assert!(has_changed(&mut watch));
        assert_eq!(watch.expected.borrow().run_id, "b");
        identity.check_replies([&Value::Okay, &Value::Nil]);
        assert!(!has_changed(&mut watch));
    }
}
