//! `GET /api/v1/rooms/{room}/members`: the sockets in a room.

use switchboard::Target;

use super::endpoint::Context;
use super::page::list_query;
use super::problem::Problem;
use super::sockets::{SocketPage, list, list_with_details};
use super::targets::parse_name;

list_query! {
    /// Which room.
    struct Members {
        /// The room, with or without `#`, which is `%23` in a path.
        #[param(example = "lobby")]
        room: String,
        /// Whether each socket has its protocol, address and user, which its node is asked for.
        #[serde(default)]
        #[param(required = false, default = false)]
        details: bool,
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
    let Members { room, details, after, limit, project } = members;
    let app = context.project(project.as_deref())?;
    let room = Target::Room(parse_name("room", &room)?);
    match details {
        true => list_with_details(&app, &room, after, limit, |_| true).await,
        false => list(&app, &room, after, limit).await,
    }
}
