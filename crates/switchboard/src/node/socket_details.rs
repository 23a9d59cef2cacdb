//! Details of sockets, which only their nodes know: the store has their ids.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use switchboard_event::{NodeId, Payload, ProjectId, SocketId};

use crate::node::connection_state::ConnectionState;
use crate::node::errors::NodeError;
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

/// The details of those sockets that are connected, in no particular order. Each other node that has some of them is asked
/// once. An error if one does not answer.
pub(crate) async fn of(
    node: &Node,
    project: &ProjectId,
    sockets: &[SocketId],
) -> Result<Vec<SocketDetails>, NodeError> {
    let mut elsewhere: BTreeMap<NodeId, Vec<SocketId>> = BTreeMap::new();
    for id in sockets.iter().filter(|id| is_elsewhere(node, **id)) {
        elsewhere.entry(id.node()).or_default().push(*id);
    }
    let calls = elsewhere.into_values().map(async |ids| {
        let call: RemoteCall<&Payload> = RemoteCall::Describe { sockets: ids.clone() };
        let outcome = remote::call(node, project, ids[0], call, TIMEOUT).await?;
        // A refusal: the node is gone.
        let found: Option<Vec<SocketDetails>> = outcome.ok().and_then(|answer| answer.to().ok());
        Ok::<_, NodeError>(found.unwrap_or_default())
    });
    let mut details = here(node, project, sockets);
    for outcome in join_all(calls).await {
        details.extend(outcome?);
    }
    Ok(details)
}
