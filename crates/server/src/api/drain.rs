//! `POST /api/v1/drain`: sends the clients of this node to other nodes, or cancels that.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::{App, DrainStatus};
use switchboard_hooks::Webhooks;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;

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

/// Drains this node: it refuses new clients, `/readyz` answers 503, and its clients go to other nodes, spread over a window.
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
        Some(ms) => Duration::from_millis(ms),
        None => state.drain_window,
    };
    let is_new = !drain.cancel && !state.app.is_draining();
    let status = if drain.cancel { state.app.cancel_drain() } else { state.app.drain(window) };
    if is_new && let Some(webhooks) = &state.webhooks {
        report_end(state.app.clone(), webhooks.clone());
    }
    let DrainStatus { is_draining, connections, moving, .. } = status;
    Ok(DrainResult { draining: is_draining, connections, moving })
}

/// Reports to webhooks that the clients have gone, unless the drain is cancelled.
#[expect(clippy::disallowed_methods, reason = "it ends with the drain, and there is one drain at a time")]
fn report_end(app: App, webhooks: Arc<Webhooks>) {
    tokio::spawn(async move {
        if app.drained().await {
            webhooks.report_drained(app.hub().bus().node());
        }
    });
}
