//! `POST /api/v1/untag`: removes a tag from the sockets of an audience.

use super::changed::{Changed, TagChange};
use super::endpoint::Context;
use super::problem::Problem;

/// Removes a tag from the sockets of an audience, on all nodes.
#[utoipa::path(
    post,
    path = "/api/v1/untag",
    request_body(content = TagChange, example = json!({ "to": { "users": ["7"] }, "tag": "vip" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, change: TagChange) -> Result<Changed, Problem> {
    change.execute(&context, |app, audience, name| app.untag(audience, name))
}
