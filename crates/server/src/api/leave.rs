//! `POST /api/v1/leave`: removes the sockets of an audience from a room.

use serde::Deserialize;
use utoipa::ToSchema;

use super::changed::{Changed, changed};
use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// The sockets that leave, and the room.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Leave {
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

/// Removes the sockets of an audience from a room, on all nodes.
#[utoipa::path(
    post,
    path = "/api/v1/leave",
    request_body(content = Leave, example = json!({ "to": { "users": ["7"] }, "room": "lobby" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, leave: Leave) -> Result<Changed, Problem> {
    let Leave { to, except, room, project } = leave;
    let app = context.project(project.as_deref())?;
    changed("room", app.leave(to.except(except)?, &room))
}
