//! `GET /api/v1/hooks`: the webhook endpoints of this node.

use serde::{Deserialize, Serialize};
use switchboard_hooks::EndpointStatus;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::Problem;
use super::state::ApiState;

/// Nothing to choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hooks {}

/// The webhook endpoints, as this node sees them.
#[derive(Serialize, ToSchema)]
pub(super) struct HookList {
    /// The endpoints, in the order of their names.
    endpoints: Vec<HookEntry>,
    /// When this node answered, in ms since 1970.
    as_of_ms: u64,
}

/// A webhook endpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct HookEntry {
    /// The name in the settings.
    #[schema(example = "chat")]
    name: String,
    /// The URL without its query, which may contain a secret.
    #[schema(example = "https://backend.example.com/hooks")]
    url: String,
    /// `delivering`; `failing` while the last call has failed and is repeated; `stopped` after the answer 410.
    #[schema(example = "delivering")]
    state: &'static str,
    /// Reports that the endpoint has accepted from this node since the start.
    delivered: u64,
    /// Failures since the last success.
    failures: u32,
    /// Reports that this node holds for it. With Redis, further ones are in its streams.
    backlog: usize,
    /// Age of the oldest of them, in ms.
    oldest_ms: u64,
    /// The last failure. Left out if the last call succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "the endpoint answered with status 503 Service Unavailable")]
    last_error: Option<String>,
}

impl From<EndpointStatus> for HookEntry {
    fn from(status: EndpointStatus) -> Self {
        let EndpointStatus { name, url, state, delivered, failures, backlog, oldest_ms, last_error } = status;
        HookEntry { name, url, state: state.name(), delivered, failures, backlog, oldest_ms, last_error }
    }
}

/// Lists the webhook endpoints with their state and backlog, as this node sees them. Needs a key that is valid for all
/// projects.
#[utoipa::path(
    get,
    path = "/api/v1/hooks",
    responses((status = 200, description = "The endpoints", body = HookList))
)]
pub(super) async fn endpoint(context: Context, _: Hooks) -> Result<HookList, Problem> {
    Ok(HookList { endpoints: entries(context.server()?), as_of_ms: now_ms() })
}

/// All endpoints.
pub(super) fn entries(state: &ApiState) -> Vec<HookEntry> {
    let status = state.webhooks.iter().flat_map(|webhooks| webhooks.status());
    status.map(HookEntry::from).collect()
}

impl HookEntry {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
