//! `GET /api/v1/nodes`: the nodes of the cluster.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use switchboard::backplane::NodeId;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};
use crate::node_answers::{self, NodeState};

/// Nothing to choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nodes {}

/// The nodes of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    /// The nodes, in ascending order.
    nodes: Vec<NodeEntry>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// A node.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeEntry {
    /// The id, with which the ids of its sockets begin.
    #[schema(example = "0badcafe")]
    node: String,
    /// True for the node that answers.
    is_this: bool,
    /// How long its lease still lasts, in ms; 0 if the node has crashed and its sockets are about to be removed. Left out for
    /// a single node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lease_left_ms: Option<u64>,
    /// What the node says about itself. Left out if it does not answer within 2 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<NodeStateEntry>,
}

/// What a node says about itself.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeStateEntry {
    /// The version.
    version: String,
    /// The commit of the source that it was built from.
    commit: String,
    /// When it started, in ms since 1970.
    started_at_ms: u64,
    /// Its connections.
    connections: usize,
    /// Those of them that move to another node by themselves if it is drained.
    moving: usize,
    /// Bytes in the outboxes of its connections.
    outbox_bytes: usize,
    /// True while it is draining.
    draining: bool,
    /// True once it is stopping.
    stopping: bool,
    /// True while publications are lost or late, or Redis is down for it.
    degraded: bool,
    /// The beginning of a hash of its settings, without addresses, paths and secrets: nodes of a cluster usually have the same.
    #[schema(example = "3f9a01bc")]
    settings: String,
}

impl From<NodeState> for NodeStateEntry {
    fn from(state: NodeState) -> Self {
        let NodeState { version, commit, started_at_ms, connections, moving, outbox_bytes, .. } = state;
        let NodeState { draining, stopping, degraded, settings, .. } = state;
        NodeStateEntry {
            version,
            commit,
            started_at_ms,
            connections,
            moving,
            outbox_bytes,
            draining,
            stopping,
            degraded,
            settings,
        }
    }
}

/// Lists the nodes that share the store, with the state of each. Needs a key that is valid for all projects.
#[utoipa::path(
    get,
    path = "/api/v1/nodes",
    responses((status = 200, description = "The nodes", body = NodeList))
)]
pub(super) async fn endpoint(context: Context, _: Nodes) -> Result<NodeList, Problem> {
    let app = &context.server()?.app;
    let this = app.hub().bus().node();
    let leases = app.nodes().await.map_err(query)?;
    let leases: HashMap<NodeId, u64> = leases.into_iter().map(|lease| (lease.node, lease.left_ms)).collect();
    let states = node_answers::states(app).await.map_err(query)?;
    let nodes = states.into_iter().map(|(node, state)| NodeEntry {
        node: node.to_string(),
        is_this: node == this,
        lease_left_ms: leases.get(&node).copied(),
        state: state.map(NodeStateEntry::from),
    });
    Ok(NodeList { nodes: nodes.collect(), as_of_ms: now_ms() })
}
