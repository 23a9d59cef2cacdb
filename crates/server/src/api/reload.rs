//! `POST /api/v1/reload`: reads the settings again, as SIGHUP does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use crate::reload_handle::Reloaded;

/// Nothing to choose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reload {}

/// The changes of a reload, as keys of settings without their values.
#[derive(Serialize, ToSchema)]
pub(super) struct ReloadResult {
    /// Changed settings that are in effect.
    #[schema(example = json!(["auth.jwt_secret", "limits.messages_per_s"]))]
    applied: Vec<String>,
    /// Changed settings that take effect at the next start.
    #[schema(example = json!(["redis.url"]))]
    needs_restart: Vec<String>,
}

/// Reads the settings of this node again, and applies those that a running server can. Needs a key that is
/// valid for all projects. If the settings are invalid, none is applied.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    request_body(content = Reload, example = json!({})),
    responses((status = 200, description = "The settings are valid", body = ReloadResult))
)]
pub(super) async fn endpoint(context: Context, _: Reload) -> Result<ReloadResult, Problem> {
    match context.server()?.reload.reload().await {
        Some(Ok(Reloaded { applied, needs_restart })) => Ok(ReloadResult { applied, needs_restart }),
        Some(Err(error)) => Err(Problem::invalid_settings(error)),
        None => Err(Problem::unknown()),
    }
}
