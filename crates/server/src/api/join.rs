//! `POST /api/v1/join`: adds the sockets of an audience to a room.

use serde::Deserialize;
use utoipa::ToSchema;

use super::changed::{Changed, changed};
use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// The sockets that join, and the room.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    /// The sockets.
    to: Targets,
    /// Sockets to leave out.
    #[serde(default)]
    except: Targets,
    /// The room, with or without `#`.
    #[schema(example = "lobby", min_length = 1, max_length = 256)]
    room: String,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// Adds the sockets of an audience to a room, on all nodes. Sockets at a limit of their memberships are left out.
#[utoipa::path(
    post,
    path = "/api/v1/join",
    request_body(content = Join, example = json!({ "to": { "users": ["7"] }, "room": "lobby" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, join: Join) -> Result<Changed, Problem> {
    let Join { to, except, room, project } = join;
    let app = context.project(project.as_deref())?;
    changed("room", app.join(to.except(except)?, &room))
}
