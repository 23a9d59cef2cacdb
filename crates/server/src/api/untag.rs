//! `POST /api/v1/untag`: removes a tag from the sockets of an audience.

use serde::Deserialize;
use utoipa::ToSchema;

use super::changed::{Changed, changed};
use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// The sockets that lose the tag.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Untag {
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

/// Removes a tag from the sockets of an audience, on all nodes.
#[utoipa::path(
    post,
    path = "/api/v1/untag",
    request_body(content = Untag, example = json!({ "to": { "users": ["7"] }, "tag": "vip" })),
    responses((status = 200, description = "The command is executed on this node and sent to the others", body = Changed))
)]
pub(super) async fn endpoint(context: Context, untag: Untag) -> Result<Changed, Problem> {
    let Untag { to, except, tag, project } = untag;
    let app = context.project(project.as_deref())?;
    changed("tag", app.untag(to.except(except)?, &tag))
}
