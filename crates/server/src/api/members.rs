//! `GET /api/v1/rooms/{room}/members`: the sockets in a room.

use switchboard::Target;

use super::endpoint::Context;
use super::page::list_query;
use super::problem::Problem;
use super::sockets::{SocketPage, list};
use super::targets::parse_name;

list_query! {
    /// Which room.
    struct Members {
        /// The room, with or without `#`, which is `%23` in a path.
        #[param(example = "lobby")]
        room: String,
    }
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
