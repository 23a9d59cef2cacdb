//! `POST /api/v1/hooks/replay`: repeats failed calls of webhook endpoints now.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::hooks::{HookEntry, entries};
use super::problem::Problem;

/// Which endpoints.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayHooks {
    /// The name of an endpoint in the settings. Default: all.
    #[serde(default)]
    #[schema(example = "chat", max_length = 64)]
    endpoint: Option<String>,
}

/// The endpoints whose failed calls are repeated.
#[derive(Serialize, ToSchema)]
pub(super) struct Replayed {
    /// The endpoints before the repetition.
    endpoints: Vec<HookEntry>,
}

/// Lets this node repeat the failed calls of webhook endpoints now, also if an endpoint has answered 410. Needs a key that
/// is valid for all projects.
#[utoipa::path(
    post,
    path = "/api/v1/hooks/replay",
    request_body(content = ReplayHooks, example = json!({})),
    responses((status = 200, description = "The calls are repeated", body = Replayed))
)]
pub(super) async fn endpoint(context: Context, replay: ReplayHooks) -> Result<Replayed, Problem> {
    let state = context.server()?;
    let all = entries(state);
    let names: Vec<String> = all.iter().map(|entry| entry.name().to_owned()).collect();
    let is_chosen = |entry: &HookEntry| replay.endpoint.as_ref().is_none_or(|name| name == entry.name());
    let endpoints: Vec<HookEntry> = all.into_iter().filter(is_chosen).collect();
    if endpoints.is_empty() && replay.endpoint.is_some() {
        let reason = match names.is_empty() {
            true => "this server has no webhook endpoints".to_owned(),
            false => format!("the webhook endpoints are {}", names.join(", ")),
        };
        return Err(Problem::invalid_field("endpoint", reason));
    }
    if let Some(webhooks) = &state.webhooks {
        for entry in &endpoints {
            webhooks.replay(entry.name());
        }
    }
    Ok(Replayed { endpoints })
}
