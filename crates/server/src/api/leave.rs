//! `POST /api/v1/leave`: removes the sockets of an audience from a room.

use super::changed::{Changed, RoomChange};
use super::endpoint::Context;
use super::problem::Problem;

/// Removes the sockets of an audience from a room, on all nodes.
#[utoipa::path(
    post,
    path = "/api/v1/leave",
    request_body(content = RoomChange, example = json!({ "to": { "users": ["7"] }, "room": "lobby" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, change: RoomChange) -> Result<Changed, Problem> {
    change.execute(&context, |app, audience, name| app.leave(audience, name))
}
