//! `POST /api/v1/drain`: sends the clients of a node to other nodes, or cancels that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::node_id::parse_node;
use super::problem::{Problem, query};
use crate::node_answers::{self, DrainOrder, DrainState};

/// Whether to begin or to cancel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// Cancels the drain: the node accepts clients again, and those that have not gone yet stay.
    #[serde(default)]
    cancel: bool,
    /// Time in milliseconds over which the clients leave, at most one day. Default: `stop.window_ms`. A drain that is under
    /// way keeps its own.
    #[schema(maximum = 86_400_000)]
    window_ms: Option<u64>,
    /// The node to drain. Default: the one that answers.
    #[schema(example = "0badcafe")]
    node: Option<String>,
}

/// The state of the drain.
#[derive(Serialize, ToSchema)]
pub(super) struct DrainResult {
    /// True while the node is draining.
    draining: bool,
    /// Connections that are still on this node.
    connections: usize,
    /// Those of them that move to another node by themselves. All others are closed with 1012.
    moving: usize,
}

/// The longest window: one day.
const WINDOW_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Drains a node: it refuses new clients, `/readyz` answers 503, and its clients go to other nodes, spread over a window.
/// Clients that understand it move by themselves without losing their connection; all others, and those that have not
/// gone, are closed with 1012. The process goes on until it is stopped. Repeat the call to see how many are left. Needs a
/// key that is valid for all projects.
#[utoipa::path(
    post,
    path = "/api/v1/drain",
    request_body(content = Drain, example = json!({ "window_ms": 30000 })),
    responses((status = 200, description = "The state of the drain", body = DrainResult))
)]
pub(super) async fn endpoint(context: Context, drain: Drain) -> Result<DrainResult, Problem> {
    let state = context.server()?;
    let window = match drain.window_ms {
        Some(ms) if ms > WINDOW_MS_MAX => {
            return Err(Problem::invalid_field("window_ms", format!("expected at most {WINDOW_MS_MAX}")));
        }
        Some(ms) => ms,
        None => state.drain_window.as_millis() as u64,
    };
    let order = DrainOrder { cancel: drain.cancel, window_ms: window };
    let node = drain.node.as_deref().map(parse_node).transpose()?;
    let answer = match node.filter(|node| *node != state.app.hub().bus().node()) {
        Some(node) => node_answers::drain_node(&state.app, order, node).await.map_err(query)?,
        None => Some(node_answers::drain(&state.app, state.webhooks.as_ref(), order)),
    };
    let no_node = || Problem::invalid_field("node", "there is no such node, or it does not answer");
    let DrainState { draining, connections, moving } = answer.ok_or_else(no_node)?;
    Ok(DrainResult { draining, connections, moving })
}
