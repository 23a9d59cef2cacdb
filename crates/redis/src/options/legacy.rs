//! Options of the bridges to original emit.gg and Mesa servers on the same Redis.

use std::time::Duration;

use switchboard_event::ProjectId;

/// Bridge to original emit.gg nodes on the same Redis: one server or Sentinel, not a cluster.
///
/// ```
/// use switchboard_redis::{EmitBridge, Options};
///
/// let options = Options { emit: Some(EmitBridge::default()), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmitBridge {
    /// `prefix` of the original nodes' Redis adapter. Default `emit.gg`.
    pub prefix: String,
    /// `channel` of the original nodes' Redis adapter. Default `emit.gg`.
    pub channel: String,
    /// The bridged project. Default `default`. Original nodes see no other project.
    pub project: ProjectId,
    /// Time to live of the room and tag sets of original nodes. Default 24 h, the original's value. A node
    /// renews the sets 24 times in that time.
    pub set_ttl: Duration,
}

impl Default for EmitBridge {
    fn default() -> Self {
        EmitBridge {
            prefix: "emit.gg".into(),
            channel: "emit.gg".into(),
            project: default_project(),
            set_ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Bridge to original Mesa servers and Dispatchers on the same Redis: one server or Sentinel, not a cluster.
///
/// ```
/// use switchboard_redis::{MesaBridge, Options};
///
/// let mesa = MesaBridge { namespace: Some("api".into()), ..MesaBridge::default() };
/// let options = Options { mesa: Some(mesa), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MesaBridge {
    /// The `namespace` of the original servers. Default none.
    pub namespace: Option<String>,
    /// The project that corresponds to the namespace. Default `default`.
    pub project: ProjectId,
    /// Whether messages to users and to everyone are also published for original servers. Default false,
    /// because each costs a second publication. Dispatchers do not need it.
    pub servers: bool,
    /// Whether connected users and the number of connections are written to the keys of original servers. Default
    /// true. Without them, Dispatchers that store messages treat every user as offline.
    pub stores_connected_users: bool,
}

impl Default for MesaBridge {
    fn default() -> Self {
        MesaBridge {
            namespace: None,
            project: default_project(),
            servers: false,
            stores_connected_users: true,
        }
    }
}

/// Original Mesa Portals, each report going to one of them. They share this node's Redis: one server or
/// Sentinel, not a cluster.
///
/// ```
/// use switchboard_event::ProjectId;
/// use switchboard_redis::{LegacyPortals, Options, ReportOptions};
///
/// let project = ProjectId::new("default").expect("a short name");
/// let portals = LegacyPortals { namespace: Some("api".into()), ..LegacyPortals::of(&project) };
/// let reports = ReportOptions { legacy_portals: Some(portals), ..ReportOptions::of(&project) };
/// let options = Options { reports: Some(reports), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyPortals {
    /// The project whose client actions they receive.
    pub project: ProjectId,
    /// The portals' `namespace`. Default none.
    pub namespace: Option<String>,
    /// True, the default, sends reports round robin; false picks a portal at random.
    pub distribute_load: bool,
}

impl LegacyPortals {
    /// Portals without a namespace, round robin.
    pub fn of(project: &ProjectId) -> Self {
        LegacyPortals { project: project.clone(), namespace: None, distribute_load: true }
    }
}

fn default_project() -> ProjectId {
    ProjectId::new("default").expect("the name is neither empty nor long")
}
