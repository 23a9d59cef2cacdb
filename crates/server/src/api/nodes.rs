//! `GET /api/v1/nodes`: the nodes of the cluster.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};

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
}

/// Lists the nodes that share the store. Needs a key that is valid for all projects.
#[utoipa::path(
    get,
    path = "/api/v1/nodes",
    responses((status = 200, description = "The nodes", body = NodeList))
)]
pub(super) async fn endpoint(context: Context, _: Nodes) -> Result<NodeList, Problem> {
    let app = &context.server()?.app;
    let this = app.hub().bus().node();
    let leases = app.nodes().await.map_err(query)?;
    let mut nodes: Vec<NodeEntry> = leases
        .into_iter()
        .map(|lease| NodeEntry {
            node: lease.node.to_string(),
            is_this: lease.node == this,
            lease_left_ms: Some(lease.left_ms),
        })
        .collect();
    if nodes.is_empty() {
        nodes.push(NodeEntry { node: this.to_string(), is_this: true, lease_left_ms: None });
    }
    Ok(NodeList { nodes, as_of_ms: now_ms() })
}
