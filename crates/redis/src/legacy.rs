//! Interoperation with the original emit.gg and Mesa servers on the same Redis.
//!
//! A bridged project and an emit.gg deployment, or a Mesa namespace, act as one. Switchboard has its own keys and
//! channels. Its entries in the keys of original servers are copies of presence, written in the same script and
//! under the same lease. Its messages on their channels are for original servers only.
//!
//! To add another kind of server, add a folder here, a line in [`bridges`], and one in `copies.lua`.

mod emit;
mod mesa;
mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::RedisResult;
use switchboard_backplane::{LocalMembers, Publication};
use switchboard_event::{NodeId, ProjectId, SocketId, Target, UserId};

use crate::bridges::Bridges;
use crate::bus::{BridgeCommand, BridgeError, BusBridge};
use crate::connection::RedisConnection;
use crate::names::{Names, ProjectNames};
use crate::options::Options;
use crate::store::PresenceMirror;

use emit::EmitServers;
pub(crate) use mesa::DISPATCH;
pub use mesa::LegacyMessage;
use mesa::{MesaPortals, MesaServers, StoredByDispatchers};
use servers::LegacyServers;

/// Lua that writes copies of presence for all kinds of original servers. It defines `copies_of`.
pub(crate) const COPIES_LUA: &str = concat!(
    include_str!("legacy/emit/copies.lua"),
    include_str!("legacy/mesa/copies.lua"),
    include_str!("legacy/copies.lua"),
);

/// The bridges that the options name.
pub(crate) fn bridges(options: &Options, node: NodeId, names: &Names) -> Bridges {
    let emit = options.emit.clone().map(|bridge| Arc::new(EmitServers::new(bridge, node)));
    let mesa = options.mesa.clone().map(|bridge| Arc::new(MesaServers::new(bridge, node)));
    let stored = options.mesa.as_ref().map(|bridge| StoredByDispatchers::new(bridge, names.clone()));
    let portals = options.reports.as_ref().and_then(|reports| reports.legacy_portals.clone());
    let mut all: Vec<Arc<dyn LegacyServers>> = Vec::new();
    all.extend(emit.iter().map(|servers| servers.clone() as Arc<dyn LegacyServers>));
    all.extend(mesa.map(|servers| servers as Arc<dyn LegacyServers>));
    let combined = (!all.is_empty()).then(|| Arc::new(CombinedBridge { emit, all }));
    Bridges {
        bus: combined.clone().map(|bridge| bridge as _),
        store: combined.map(|bridge| bridge as _),
        inbox: stored.map(|stored| Arc::new(stored) as _),
        reports: portals.map(|portals| Arc::new(MesaPortals::new(portals)) as _),
    }
}

/// The bridges to all kinds of original servers, used as one.
struct CombinedBridge {
    /// Original emit.gg nodes also have sockets that are counted and listed.
    emit: Option<Arc<EmitServers>>,
    all: Vec<Arc<dyn LegacyServers>>,
}

impl CombinedBridge {
    fn of<'a>(&'a self, project: &'a ProjectId) -> impl Iterator<Item = &'a dyn LegacyServers> {
        self.all.iter().map(|servers| &**servers).filter(move |servers| servers.project() == project)
    }
}

impl BusBridge for CombinedBridge {
    fn covers(&self, project: &ProjectId) -> bool {
        self.of(project).next().is_some()
    }

    fn channels(&self) -> Vec<String> {
        self.all.iter().flat_map(|servers| servers.channels()).cloned().collect()
    }

    fn decode(&self, channel: &[u8], message: &Bytes) -> Option<Result<Option<Publication>, BridgeError>> {
        self.all.iter().find_map(|servers| {
            let channel = servers.channels().iter().find(|name| name.as_bytes() == channel)?;
            Some(servers.decode(channel, message).map_err(BridgeError::from))
        })
    }

    fn encode(&self, publication: &Publication) -> Vec<BridgeCommand> {
        self.of(&publication.project).flat_map(|servers| servers.encode(publication)).collect()
    }
}

impl PresenceMirror for CombinedBridge {
    fn copies(&self, project: &ProjectId) -> Vec<String> {
        self.of(project)
            .filter_map(LegacyServers::copies)
            .flat_map(|(kind, parameters)| [kind.to_owned(), parameters])
            .collect()
    }

    fn has_sockets(&self, project: &ProjectId) -> bool {
        self.emit.as_ref().is_some_and(|emit| emit.project() == project)
    }

    fn sockets<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a ProjectNames,
        target: &'a Target,
    ) -> BoxFuture<'a, RedisResult<BTreeSet<SocketId>>> {
        Box::pin(async move {
            match &self.emit {
                Some(emit) => emit.sockets(connection, names, target).await,
                None => Ok(BTreeSet::new()),
            }
        })
    }

    fn users<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a ProjectNames,
    ) -> BoxFuture<'a, RedisResult<BTreeSet<UserId>>> {
        Box::pin(async move {
            match &self.emit {
                Some(emit) => emit.users(connection, names).await,
                None => Ok(BTreeSet::new()),
            }
        })
    }

    fn renew<'a>(
        &'a self,
        connection: &'a mut RedisConnection,
        names: &'a Names,
        local: Option<Arc<dyn LocalMembers>>,
    ) -> BoxFuture<'a, RedisResult<()>> {
        Box::pin(async move {
            match &self.emit {
                Some(emit) => emit.renew(connection, names, local.as_deref()).await,
                None => Ok(()),
            }
        })
    }
}
