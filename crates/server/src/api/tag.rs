//! `POST /api/v1/tag`: adds a tag to the sockets of an audience.

use serde::Deserialize;
use utoipa::ToSchema;

use super::changed::{Changed, changed};
use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// The sockets that get the tag.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tag {
    /// The sockets.
    to: Targets,
    /// Sockets to leave out.
    #[serde(default)]
    except: Targets,
    /// The tag, with or without `*`.
    #[schema(example = "vip", min_length = 1, max_length = 256)]
    tag: String,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// Adds a tag to the sockets of an audience, on all nodes. Sockets at a limit of their memberships are left out.
#[utoipa::path(
    post,
    path = "/api/v1/tag",
    request_body(content = Tag, example = json!({ "to": { "users": ["7"] }, "tag": "vip" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, tag: Tag) -> Result<Changed, Problem> {
    let Tag { to, except, tag, project } = tag;
    let app = context.project(project.as_deref())?;
    changed("tag", app.tag(to.except(except)?, &tag))
}
