//! `POST /api/v1/join`: adds the sockets of an audience to a room.

use super::changed::{Changed, RoomChange};
use super::endpoint::Context;
use super::problem::Problem;

/// Adds the sockets of an audience to a room, on all nodes. Sockets at a limit of their memberships are left out.
#[utoipa::path(
    post,
    path = "/api/v1/join",
    request_body(content = RoomChange, example = json!({ "to": { "users": ["7"] }, "room": "lobby" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, change: RoomChange) -> Result<Changed, Problem> {
    change.execute(&context, |app, audience, name| app.join(audience, name))
}
