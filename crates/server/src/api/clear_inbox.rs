//! `DELETE /api/v1/inbox/{user}`: removes the stored messages of a user.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::inbox::inbox_of;
use super::problem::Problem;
use super::targets::parse_name;

/// Which inbox.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClearInbox {
    /// The user's id.
    #[param(example = "7")]
    user: String,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// An empty result.
#[derive(Serialize, ToSchema)]
pub(super) struct Cleared {}

/// Removes all stored messages of a user.
#[utoipa::path(
    delete,
    path = "/api/v1/inbox/{user}",
    params(ClearInbox),
    responses((status = 200, description = "The inbox is empty", body = Cleared))
)]
pub(super) async fn endpoint(context: Context, inbox: ClearInbox) -> Result<Cleared, Problem> {
    let app = context.project(inbox.project.as_deref())?;
    let user = parse_name("user", &inbox.user)?;
    match inbox_of(&app)?.clear(app.project_id(), &user).await {
        Ok(()) => Ok(Cleared {}),
        Err(_) => Err(Problem::unknown()),
    }
}
