//! `POST /api/v1/tag`: adds a tag to the sockets of an audience.

use super::changed::{Changed, TagChange};
use super::endpoint::Context;
use super::problem::Problem;

/// Adds a tag to the sockets of an audience, on all nodes. Sockets at a limit of their memberships are left out.
#[utoipa::path(
    post,
    path = "/api/v1/tag",
    request_body(content = TagChange, example = json!({ "to": { "users": ["7"] }, "tag": "vip" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, change: TagChange) -> Result<Changed, Problem> {
    change.execute(&context, |app, audience, name| app.tag(audience, name))
}
