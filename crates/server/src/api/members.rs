//! `GET /api/v1/rooms/{room}/members`: the sockets in a room.

use serde::Deserialize;
use switchboard::Target;
use utoipa::IntoParams;

use super::endpoint::Context;
use super::page::{After, Limit};
use super::problem::Problem;
use super::sockets::{SocketPage, list};
use super::targets::parse_name;

/// Which room.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Members {
    /// The room, with or without `#`, which is `%23` in a path.
    #[param(example = "lobby")]
    room: String,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: After,
    /// Most entries, 1 to 1,000.
    #[serde(default)]
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// Lists the sockets in a room on all nodes.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/members",
    params(Members),
    responses((status = 200, description = "The sockets", body = SocketPage))
)]
pub(super) async fn endpoint(context: Context, members: Members) -> Result<SocketPage, Problem> {
    let Members { room, after, limit, project } = members;
    let app = context.project(project.as_deref())?;
    list(&app, &Target::Room(parse_name("room", &room)?), after, limit).await
}
