//! Details of sockets, which only their nodes know: the store has their ids.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use switchboard_event::{NodeId, Payload, ProjectId, SocketId};

use crate::node::connection_state::ConnectionState;
use crate::node::message::RemoteCall;
use crate::node::remote::{self, is_elsewhere};
use crate::node::{Node, membership};

/// How long another node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of a connected socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SocketDetails {
    /// The id.
    pub socket: SocketId,
    /// The name of its protocol: `emit`, `koji` or `mesa`.
    pub protocol: String,
    /// The client's address, as trusted proxies report it.
    pub address: Option<IpAddr>,
    /// The user that the socket is logged in as.
    pub user: Option<String>,
}

/// What the nodes of some sockets have said of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DescribedSockets {
    /// Those that are connected, in no particular order.
    pub found: Vec<SocketDetails>,
    /// Nodes that did not answer, such as one that has crashed and whose sockets are not removed yet.
    pub unanswered: Vec<NodeId>,
}

/// The details of those sockets that are connected to this node.
pub(crate) fn here(node: &Node, project: &ProjectId, sockets: &[SocketId]) -> Vec<SocketDetails> {
    let sessions = sockets.iter().filter_map(|id| membership::session(node, project, *id));
    sessions
        .map(|session| SocketDetails {
            socket: session.id,
            protocol: session.protocol.name().to_owned(),
            address: ConnectionState::of(&session).info.ip(),
            user: session.user().map(|user| user.to_string()),
        })
        .collect()
}

/// The details of those sockets that are connected. Each other node that has some of them is asked once.
pub(crate) async fn of(node: &Node, project: &ProjectId, sockets: &[SocketId]) -> DescribedSockets {
    let mut elsewhere: BTreeMap<NodeId, Vec<SocketId>> = BTreeMap::new();
    for id in sockets.iter().filter(|id| is_elsewhere(node, **id)) {
        elsewhere.entry(id.node()).or_default().push(*id);
    }
    let calls = elsewhere.into_iter().map(async |(asked, ids)| {
        let call: RemoteCall<&Payload> = RemoteCall::Describe { sockets: ids.clone() };
        let outcome = remote::call(node, project, ids[0], call, TIMEOUT).await.map_err(|_| asked)?;
        // A refusal: the node is gone.
        let found: Option<Vec<SocketDetails>> = outcome.ok().and_then(|answer| answer.to().ok());
        Ok::<_, NodeId>(found.unwrap_or_default())
    });
    let mut described = DescribedSockets { found: here(node, project, sockets), unanswered: Vec::new() };
    for outcome in join_all(calls).await {
        match outcome {
            Ok(found) => described.found.extend(found),
            Err(node) => described.unanswered.push(node),
        }
    }
    described
}
